# bash completion for bouncectl(8)

_bouncectl()
{
	local cur prev words cword flags command=${COMP_WORDS[1]}
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
	elif [[ $cur == -* ]]; then
		case $command in
		top) flags='-d -n' ;;
		attach) flags='-r -P' ;;
		scrub) flags='--rate --resume' ;;
		checksum) flags='--from' ;;
		esac
		COMPREPLY=($(compgen -W "--json $flags" -- "$cur"))
	else
		_filedir
	fi
} && complete -F _bouncectl bouncectl
