# fish completion for bouncefs(8)

complete -c bouncefs -f -a '(__fish_complete_directories)'
complete -c bouncefs -s f -l foreground -d 'Stay in the foreground'
complete -c bouncefs -s h -l help -d 'Print a summary'
complete -c bouncefs -s V -l version -d 'Print versions'

set -l modes cache={none,directsync,writeback,dontcache,writethrough,unsafe,auto}
set -l levels log-level={error,warning,info,debug,trace}
set -l values block-size={512,1024,2048,4096} detect-zeroes={off,on,unmap} passthrough=ro sandbox={default,none} transport={dev,io_uring}
set -l sums checksum={off,xxh3} checksum-errors={fail,report} foreign-change={verify,rebuild,refuse}
set -l keys dirty-limit= images= log= memory= policy= threads=
complete -c bouncefs -s o -x -d 'Options' \
    -a "(__fish_append , $modes $levels $values $sums $keys ro noatime nodev nosuid noexec)"
