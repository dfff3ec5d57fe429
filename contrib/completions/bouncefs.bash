# bash completion for bouncefs(8)

_bouncefs()
{
	local cur prev words cword last
	_init_completion -n = || return

	if [[ $prev == -o ]]; then
		# readline replaces what follows the last '=' of the word
		last=${cur##*,}
		case $last in
		cache=*)
			COMPREPLY=($(compgen -W 'none directsync writeback dontcache writethrough unsafe auto' \
				-- "${last#*=}"))
			;;
		log-level=*)
			COMPREPLY=($(compgen -W 'error warning info debug trace' -- "${last#*=}"))
			;;
		block-size=*) COMPREPLY=($(compgen -W '512 1024 2048 4096' -- "${last#*=}")) ;;
		passthrough=*) COMPREPLY=($(compgen -W 'ro' -- "${last#*=}")) ;;
		sandbox=*) COMPREPLY=($(compgen -W 'default none' -- "${last#*=}")) ;;
		transport=*) COMPREPLY=($(compgen -W 'dev io_uring' -- "${last#*=}")) ;;
		checksum=*) COMPREPLY=($(compgen -W 'off xxh3' -- "${last#*=}")) ;;
		checksum-errors=*) COMPREPLY=($(compgen -W 'fail report' -- "${last#*=}")) ;;
		foreign-change=*) COMPREPLY=($(compgen -W 'verify rebuild refuse' -- "${last#*=}")) ;;
		detect-zeroes=*) COMPREPLY=($(compgen -W 'off on unmap' -- "${last#*=}")) ;;
		*=*) ;;
		*)
			compopt -o nospace
			cur=${cur##*=}
			COMPREPLY=($(compgen -P "${cur%"$last"}" -W 'ro noatime nodev nosuid noexec
				block-size= cache= checksum= checksum-errors= detect-zeroes= dirty-limit=
				foreign-change= images= log= log-level= memory=
				passthrough= policy= sandbox= threads= transport=' -- "$last"))
			;;
		esac
	elif [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W '-f -o --foreground --help --version' -- "$cur"))
	else
		_filedir -d
	fi
} && complete -F _bouncefs bouncefs
