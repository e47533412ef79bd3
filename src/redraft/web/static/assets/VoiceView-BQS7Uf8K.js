import{$ as e,B as t,D as n,E as r,H as i,L as a,R as o,U as s,V as c,Z as l,et as u,g as d,h as f,rt as p,t as m,tt as h,u as g,z as _}from"./shared-BgvR1PzZ.js";import{a as v,f as y,i as b,n as x,o as S,r as C,t as w}from"./useEditor-D5Py9HWJ.js";import{t as T}from"./purify.es-BXoPR7WT.js";var E=()=>y.define({name:`markup`,startState:()=>({inTag:!1}),token(e,t){return e.match(`<!--`)?(e.match(/^[\s\S]*?-->/)||e.skipToEnd(),`comment`):e.match(/^<\/?[\w-]+/)?(t.inTag=!0,`tagName`):t.inTag?e.match(/^"[^"]*"?/)||e.match(/^'[^']*'?/)?`string`:e.next()===`>`?(t.inTag=!1,`tagName`):null:(e.next(),e.eatWhile(/[^<]/),null)}});function D(){let e=window;return e.SpeechRecognition??e.webkitSpeechRecognition}async function O(){return(await i(`/play/config`).catch(()=>null))?.speech&&typeof MediaRecorder<`u`?`server`:D()?`browser`:`none`}async function k(e,t){let n=D();return e===`server`||!n?M():A(new n,t)}function A(e,t){e.lang=`en-US`,e.interimResults=!0;let n=``,r=new Promise((r,i)=>{e.addEventListener(`result`,e=>{n=Array.from(e.results).map(e=>e[0]?.transcript??``).join(` `),t(n)}),e.addEventListener(`error`,e=>{i(Error(j(e.error)))}),e.addEventListener(`end`,()=>r(n))});return e.start(),{stop:()=>e.stop(),words:r}}function j(e){return e===`not-allowed`?`The browser does not allow the microphone. Allow it, or type the instruction.`:e===`network`?`The browser's recogniser needs a network connection. Type the instruction instead.`:`The browser's recogniser failed: ${e}. Type the instruction instead.`}async function M(){let e=await navigator.mediaDevices.getUserMedia({audio:!0}),t=new MediaRecorder(e),n=[];t.addEventListener(`dataavailable`,e=>n.push(e.data));let r=new Promise(e=>t.addEventListener(`stop`,e));return t.start(),{stop:()=>t.stop(),words:(async()=>{await r;for(let t of e.getTracks())t.stop();let a=new FormData;return a.append(`file`,new File(n,`instruction.webm`,{type:t.mimeType})),(await i(`/v1/audio/transcriptions`,{method:`POST`,body:a})).text})()}}function N(e){let t=e.trim().replace(/[.!?]+$/,``);return/^I\b/.test(t)?t:t.charAt(0).toLowerCase()+t.slice(1)}var P={server:`The server of this page recognises the speech`,browser:`The browser recognises the speech; some browsers send it to their maker`,none:`Neither the server nor this browser has a speech recogniser`};function F({onWords:t,onInstruction:n,disabled:r}){let[i,o]=h(null),[s,u]=h(!1),d=e(null);l(()=>(O().then(o),()=>d.current?.stop()),[]);let f=i!==null&&i!==`none`,p=async()=>{if(f){u(!0);try{d.current=await k(i,t);let e=N(await d.current.words);t(e),e&&n(e)}catch(e){a(e)}finally{u(!1)}}};return c(`button`,{type:`button`,class:`button mic`,"aria-pressed":s,title:i?P[i]:``,disabled:!f||r&&!s,onClick:()=>{s?d.current?.stop():p()},children:s?`Stop`:i===`none`?`No recogniser`:`Speak`})}var I=[`html`,`head`,`body`,`main`,`section`,`div`,`ul`,`ol`],L=[`title`,`h1`,`h2`,`h3`,`p`,`li`],R=(e,t)=>RegExp(`\\s*(<${t}(?:${e.join(`|`)})(?=[\\s>])[^>]*>)\\s*`,`gi`),z=R(I,``),B=R(I,`/`),V=R(L,``),H=R(L,`/`),ee=`  `;function U(e){let t=G(e).replace(z,`
$1
`).replace(B,`
$1
`).replace(V,`
$1`).replace(H,`$1
`).split(`
`).filter(e=>e.trim()!==``),n=0;return t.map(e=>{W(B,e)&&(n=Math.max(0,n-1));let t=ee.repeat(n)+e;return W(z,e)&&n++,t}).join(`
`)}var W=(e,t)=>t.replace(e,``)===``,G=e=>e.trim().replace(/>\s*\n\s*</g,`><`).replace(/\s*\n\s*/g,` `),K=`<body class="green">
  <h1>Weekend</h1>
  <ul>
    <li>[ ] buy bread</li>
    <li>[x] call mum</li>
    <li>[ ] fix the bike</li>
  </ul>
</body>
`;function q(e,t,n){return r(e,`edits`)?`edit ${G(t)}\n${n.trim()}`:`Here is an HTML page. Change it as asked, leave everything else as it is, and answer with the page alone.\n\n${t}\n\nChange: ${n}`}function J(e,t){return`${Y(e,(/```(?:html)?\n([\s\S]*?)```/.exec(t)?.[1]??t).trim())}\n`}var Y=(e,t)=>r(e,`edits`)?U(t):t,X=[`href`,`src`,`srcset`,`action`,`formaction`,`poster`,`background`],Z=`
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
`;function Q(e,t){let n=new DOMParser().parseFromString(t,`text/html`);e.body.className=n.body.className,e.body.innerHTML=T.sanitize(n.body.innerHTML,{USE_PROFILES:{html:!0},FORBID_ATTR:X});for(let t of e.querySelectorAll(`li`))$(t)}function $(e){let t=e.textContent,n=/^\s*\[( |x)\]\s*/.exec(t);n&&(n[1]===`x`&&e.classList.add(`done`),e.textContent=t.slice(n[0].length))}var te=160;function ne(t,n){let[r,i]=h(!1),[s,c]=h(null),{signal:l,abort:u}=f(),d=e(0);return{apply:async e=>{let{view:s}=n();if(!s||!t||!e.trim()||r)return!1;let u=s.state.doc.toString(),f=q(t,u,e),p=e=>{let n={from:0,to:u.length,text:Y(t,e),settled:!1};s.dispatch({effects:x.of(n)})};i(!0);try{let e=J(t,await re(t,f,++d.current,l(),p));return e===u&&o(`The model did not change the page.`),c(S(u,e)),n().put(e),!0}catch(e){return a(e),!1}finally{s.dispatch({effects:x.of(null)}),i(!1)}},busy:r,diff:s,stop:u}}async function re(e,t,n,r,i){let a=[{role:`user`,content:t}],o=``;for await(let t of s({model:e.id,seed:n,messages:a},r)){let e=t.draft&&o+t.draft.text;o+=g(t),r.throwIfAborted(),e!==void 0&&(i(e),await d(te))}return o}var ie=[`I did fix the bike`,`please add water the garden`,`take call mum off the list`,`make it blue`,`call the page Home`];function ae(){let i=n(`edits`),a=e(null),[o,s]=h(``),l=ne(i,()=>m),u=e=>{l.apply(e).then(e=>{e&&s(``)})},d={run:()=>u(o),accept:()=>void 0,reject:l.stop},f={key:`voice`,model:i?.id??``,firstText:K,language:E(),label:`The page's HTML`},m=w(a,f,d);return c(p,{children:[c(_,{title:`Voice coding`,children:`Say or type an instruction. The model changes the page, and keeps the rest of it.`}),c(`div`,{class:`stack`,children:[c(t,{model:i,task:`edits`}),c(se,{words:o,onWords:s,onApply:u,busy:l.busy,small:r(i,`edits`)}),c(`div`,{class:`voice`,children:[c(`section`,{class:`card stack`,"aria-label":`File`,children:[c(`div`,{class:`row spread`,children:[c(`h2`,{children:`todo.html`}),c(C,{editing:m,busy:l.busy})]}),c(b,{host:a,editing:m}),l.diff!==null&&c(v,{text:l.diff})]}),c(oe,{source:m.text})]})]})]})}function oe({source:e}){let t=u(t=>Q(t,e),[e]);return c(`section`,{class:`card stack`,"aria-label":`Preview`,children:[c(`div`,{class:`row spread`,children:c(`h2`,{children:`Preview`})}),e===``&&c(`p`,{class:`small muted`,children:`There is no page to show.`}),c(`div`,{class:`preview`,hidden:e===``,children:c(m,{title:`Preview of the page`,style:Z,draw:t})})]})}function se({words:e,onWords:t,onApply:n,busy:r,small:i}){return c(`section`,{class:`card stack`,"aria-label":`Instruction`,children:[c(`form`,{class:`say`,onSubmit:t=>{t.preventDefault(),n(e)},children:[c(F,{onWords:t,onInstruction:n,disabled:r}),c(`input`,{type:`text`,"aria-label":`Instruction`,value:e,placeholder:`What should change?`,onInput:e=>t(e.currentTarget.value)}),c(`button`,{type:`submit`,class:`button main`,disabled:r||!e.trim(),children:`Apply`})]}),i&&c(`div`,{class:`row chips`,role:`group`,"aria-label":`Instructions that this model knows`,children:ie.map(e=>c(`button`,{type:`button`,class:`chip`,onClick:()=>t(e),children:e}))})]})}export{ae as VoiceView};