# bash completion for bouncectl(8)

_bouncectl()
{
	local cur prev words cword command=${COMP_WORDS[1]}
	_init_completion -n = || return

	if ((cword == 1)); then
		COMPREPLY=($(compgen -W '--json --help status top metrics doctor get set unset attach detach scrub checksum restart log-level' -- "$cur"))
	elif [[ $command == detach ]]; then
		COMPREPLY=($(compgen -W "$(losetup -n -O NAME)" -- "$cur"))
	elif [[ $command == log-level ]] && ((cword == 3)); then
		COMPREPLY=($(compgen -W 'error warning info debug trace' -- "$cur"))
	elif [[ $command == @(get|set|unset) ]] && ((cword > 2)); then
		[[ $command != set ]] || compopt -o nospace
		COMPREPLY=($(compgen -S "$([[ $command != set ]] || echo =)" -W 'cache checksum dirty-limit block-size
			detect-zeroes checksum-errors foreign-change' -- "$cur"))
	elif [[ $command == checksum ]] && ((cword == 2)); then
		COMPREPLY=($(compgen -W 'build show drop list-errors repair adopt' -- "$cur"))
	elif [[ $command == checksum && $cur == -* ]]; then
		COMPREPLY=($(compgen -W '--from --json' -- "$cur"))
	elif [[ $command == scrub && $cur == -* ]]; then
		COMPREPLY=($(compgen -W '--rate --resume --json' -- "$cur"))
	else
		_filedir
	fi
} && complete -F _bouncectl bouncectl
