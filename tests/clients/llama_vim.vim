" One check of llama.vim in a Vim without a screen, which `vim_client.py` starts with g:plugin, g:check,
" g:out and g:llama_config. An instruction is read from the standard input.
set nocompatible hidden noswapfile
execute 'set runtimepath^=' .. fnameescape(g:plugin)
execute 'source ' .. fnameescape(g:plugin .. '/plugin/llama.vim')
call llama#enable()

function! Wait(done) abort
    for l:turn in range(1200)
        if a:done()
            return
        endif
        sleep 50m
    endfor
endfunction

function! Accepted() abort
    call llama#inst_accept()
    return getline(1) !=# 'old line'
endfunction

if g:check ==# 'infill'
    call setline(1, ['x = 1', '', 'y = x'])
    call llama#fim(0, 2, v:false, [], v:false)
    call Wait({-> len(g:cache_data) > 0})
    call writefile(values(g:cache_data), g:out)
else
    call setline(1, ['old line'])
    call llama#inst(1, 1)
    call Wait(function('Accepted'))
    call writefile(getline(1, '$'), g:out)
endif
qall!
