import{B as e,D as t,H as n,O as r,Q as i,R as a,U as o,V as s,W as c,_ as l,et as u,g as d,it as f,nt as p,t as m,tt as h,u as g,z as _}from"./shared-DI_tI7HF.js";import{a as v,f as y,i as b,n as x,o as S,r as C,t as w}from"./useEditor-B__1HIAm.js";import{t as T}from"./purify.es-BXoPR7WT.js";var E=()=>y.define({name:`markup`,startState:()=>({inTag:!1}),token(e,t){return e.match(`<!--`)?(e.match(/^[\s\S]*?-->/)||e.skipToEnd(),`comment`):e.match(/^<\/?[\w-]+/)?(t.inTag=!0,`tagName`):t.inTag?e.match(/^"[^"]*"?/)||e.match(/^'[^']*'?/)?`string`:e.next()===`>`?(t.inTag=!1,`tagName`):null:(e.next(),e.eatWhile(/[^<]/),null)}});function D(){let e=window;return e.SpeechRecognition??e.webkitSpeechRecognition}async function O(){return(await o(`/play/config`).catch(()=>null))?.speech&&typeof MediaRecorder<`u`?`server`:D()?`browser`:`none`}async function k(e,t){let n=D();return e===`server`||!n?M():A(new n,t)}function A(e,t){e.lang=`en-US`,e.interimResults=!0;let n=``,r=new Promise((r,i)=>{e.addEventListener(`result`,e=>{n=Array.from(e.results).map(e=>e[0]?.transcript??``).join(` `),t(n)}),e.addEventListener(`error`,e=>{i(Error(j(e.error)))}),e.addEventListener(`end`,()=>r(n))});return e.start(),{stop:()=>e.stop(),words:r}}function j(e){return e===`not-allowed`?`The browser does not allow the microphone. Allow it, or type the instruction.`:e===`network`?`The browser's recogniser needs a network connection. Type the instruction instead.`:`The browser's recogniser failed: ${e}. Type the instruction instead.`}async function M(){let e=await navigator.mediaDevices.getUserMedia({audio:!0}),t=new MediaRecorder(e),n=[];t.addEventListener(`dataavailable`,e=>n.push(e.data));let r=new Promise(e=>t.addEventListener(`stop`,e));return t.start(),{stop:()=>t.stop(),words:(async()=>{await r;for(let t of e.getTracks())t.stop();let i=new FormData;return i.append(`file`,new File(n,`instruction.webm`,{type:t.mimeType})),(await o(`/v1/audio/transcriptions`,{method:`POST`,body:i})).text})()}}function N(e){let t=e.trim().replace(/[.!?]+$/,``);return/^I\b/.test(t)?t:t.charAt(0).toLowerCase()+t.slice(1)}var P={server:`The server of this page recognises the speech`,browser:`The browser recognises the speech; some browsers send it to their maker`,none:`Neither the server nor this browser has a speech recogniser`};function F({onWords:e,onInstruction:t,disabled:r}){let[o,s]=p(null),[c,l]=p(!1),d=u(null);i(()=>(O().then(s),()=>d.current?.stop()),[]);let f=o!==null&&o!==`none`,m=async()=>{if(f){l(!0);try{d.current=await k(o,e);let n=N(await d.current.words);e(n),n&&t(n)}catch(e){a(e)}finally{l(!1)}}};return n(`button`,{type:`button`,class:`button mic`,"aria-pressed":c,title:o?P[o]:``,disabled:!f||r&&!c,onClick:()=>{c?d.current?.stop():m()},children:c?`Stop`:o===`none`?`No recogniser`:`Speak`})}var I=[`html`,`head`,`body`,`main`,`section`,`div`,`ul`,`ol`],L=[`title`,`h1`,`h2`,`h3`,`p`,`li`],R=(e,t)=>RegExp(`\\s*(<${t}(?:${e.join(`|`)})(?=[\\s>])[^>]*>)\\s*`,`gi`),z=R(I,``),B=R(I,`/`),V=R(L,``),H=R(L,`/`),U=`  `;function ee(e){let t=G(e).replace(z,`
$1
`).replace(B,`
$1
`).replace(V,`
$1`).replace(H,`$1
`).split(`
`).filter(e=>e.trim()!==``),n=0;return t.map(e=>{W(B,e)&&(n=Math.max(0,n-1));let t=U.repeat(n)+e;return W(z,e)&&n++,t}).join(`
`)}var W=(e,t)=>t.replace(e,``)===``,G=e=>e.trim().replace(/>\s*\n\s*</g,`><`).replace(/\s*\n\s*/g,` `),K=`<body class="green">
  <h1>Weekend</h1>
  <ul>
    <li>[ ] buy bread</li>
    <li>[x] call mum</li>
    <li>[ ] fix the bike</li>
  </ul>
</body>
`;function q(e,n,r){return t(e,`edits`)?`edit ${G(n)}\n${r.trim()}`:`Here is an HTML page. Change it as asked, leave everything else as it is, and answer with the page alone.\n\n${n}\n\nChange: ${r}`}function J(e,t){return`${Y(e,(/```(?:html)?\n([\s\S]*?)```/.exec(t)?.[1]??t).trim())}\n`}var Y=(e,n)=>t(e,`edits`)?ee(n):n,X=[`href`,`src`,`srcset`,`action`,`formaction`,`poster`,`background`],Z=`
body {
  margin: 0; min-height: 100vh; box-sizing: border-box; padding: 2rem 2.2rem;
  font: 1.05rem/1.6 ui-sans-serif, system-ui, sans-serif; color: #16211e; background: #f4f5f2;
}
h1 { margin: 0 0 1rem; font-size: 1.8rem; letter-spacing: -.02em }
ul { list-style: none; margin: 0; padding: 0; display: grid; gap: .5rem }
li {
  padding: .6rem .9rem; border-radius: 8px; background: rgb(255 255 255 / 88%); color: #16211e;
  box-shadow: 0 1px 2px rgb(0 0 0 / 10%);
}
li.done { text-decoration: line-through; color: #4c5a55 }
li::before {
  content: ""; display: inline-block; width: .8em; height: .8em; margin-right: .7em;
  border: 2px solid #52605b; border-radius: 4px; vertical-align: -.12em; box-sizing: content-box;
}
li.done::before {
  content: "✓"; background: #52605b; color: #fff; font: 700 1em/.8 sans-serif; text-align: center;
}
.red { background: #f6cfca }
.blue { background: #cfe0f5 }
.green { background: #cfe9da }
.grey { background: #d8dcda }
.white { background: #fff }
.black { background: #1b2120 }
.black h1 { color: #fff }
`;function Q(e,t){let n=new DOMParser().parseFromString(t,`text/html`);e.body.className=n.body.className,e.body.innerHTML=T.sanitize(n.body.innerHTML,{USE_PROFILES:{html:!0},FORBID_ATTR:X});for(let t of e.querySelectorAll(`li`))$(t)}function $(e){let t=e.textContent,n=/^\s*\[( |x)\]\s*/.exec(t);n&&(n[1]===`x`&&e.classList.add(`done`),e.textContent=t.slice(n[0].length))}var te=160;function ne(e,t){let[n,r]=p(!1),[i,o]=p(null),{signal:s,abort:c}=d(),l=u(0);return{apply:async i=>{let{view:c}=t();if(!c||!e||!i.trim()||n)return!1;let u=c.state.doc.toString(),d=q(e,u,i),f=t=>{let n={from:0,to:u.length,text:Y(e,t),settled:!1};c.dispatch({effects:x.of(n)})};r(!0);try{let n=J(e,await re(e,d,++l.current,s(),f));return n===u&&_(`The model did not change the page.`),o(S(u,n)),t().put(n),!0}catch(e){return a(e),!1}finally{c.dispatch({effects:x.of(null)}),r(!1)}},busy:n,diff:i,stop:c}}async function re(e,t,n,r,i){let a=[{role:`user`,content:t}],o=``;for await(let t of c({model:e.id,seed:n,messages:a},r)){let e=t.draft&&o+t.draft.text;o+=g(t),r.throwIfAborted(),e!==void 0&&(i(e),await l(te))}return o}var ie=[`I did fix the bike`,`please add water the garden`,`take call mum off the list`,`make it blue`,`call the page Home`];function ae(){let i=r(`edits`),a=u(null),[o,c]=p(``),l=ne(i,()=>g),d=e=>{l.apply(e).then(e=>{e&&c(``)})},m={run:()=>d(o),accept:()=>void 0,reject:l.stop},h={key:`voice`,model:i?.id??``,firstText:K,language:E(),label:`The page's HTML`},g=w(a,h,m);return n(f,{children:[n(e,{title:`Voice coding`,children:`Say or type an instruction. The model changes the page, and keeps the rest of it.`}),n(`div`,{class:`stack`,children:[n(s,{model:i,task:`edits`}),n(se,{words:o,onWords:c,onApply:d,busy:l.busy,small:t(i,`edits`)}),n(`div`,{class:`voice`,children:[n(`section`,{class:`card stack`,"aria-label":`File`,children:[n(`div`,{class:`row spread`,children:[n(`h2`,{children:`todo.html`}),n(C,{editing:g,busy:l.busy})]}),n(b,{host:a,editing:g}),l.diff!==null&&n(v,{text:l.diff})]}),n(oe,{source:g.text})]})]})]})}function oe({source:e}){let t=h(t=>Q(t,e),[e]);return n(`section`,{class:`card stack`,"aria-label":`Preview`,children:[n(`div`,{class:`row spread`,children:n(`h2`,{children:`Preview`})}),e===``&&n(`p`,{class:`small muted`,children:`There is no page to show.`}),n(`div`,{class:`preview`,hidden:e===``,children:n(m,{title:`Preview of the page`,style:Z,draw:t})})]})}function se({words:e,onWords:t,onApply:r,busy:i,small:a}){return n(`section`,{class:`card stack`,"aria-label":`Instruction`,children:[n(`form`,{class:`say`,onSubmit:t=>{t.preventDefault(),r(e)},children:[n(F,{onWords:t,onInstruction:r,disabled:i}),n(`input`,{type:`text`,"aria-label":`Instruction`,value:e,placeholder:`What should change?`,onInput:e=>t(e.currentTarget.value)}),n(`button`,{type:`submit`,class:`button main`,disabled:i||!e.trim(),children:`Apply`})]}),a&&n(`div`,{class:`row chips`,role:`group`,"aria-label":`Instructions that this model knows`,children:ie.map(e=>n(`button`,{type:`button`,class:`chip`,onClick:()=>t(e),children:e}))})]})}export{ae as VoiceView};