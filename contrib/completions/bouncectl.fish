# fish completion for bouncectl(8)

set -l commands status top metrics doctor get set unset attach detach scrub checksum restart log-level
set -l keys cache checksum dirty-limit block-size detect-zeroes checksum-errors foreign-change

complete -c bouncectl -l json -d 'Print JSON'
complete -c bouncectl -n "not __fish_seen_subcommand_from $commands" -f -l help -d 'Print a summary'
complete -c bouncectl -n "not __fish_seen_subcommand_from $commands" -f -a "$commands"
complete -c bouncectl -n '__fish_seen_subcommand_from get unset' -a "$keys"
complete -c bouncectl -n '__fish_seen_subcommand_from set' -a "$keys="
complete -c bouncectl -n '__fish_seen_subcommand_from log-level' -a 'error warning info debug trace'
complete -c bouncectl -n '__fish_seen_subcommand_from top' -s d -x -d 'Seconds between updates'
complete -c bouncectl -n '__fish_seen_subcommand_from top' -s n -x -d 'Number of updates'
complete -c bouncectl -n '__fish_seen_subcommand_from attach' -s r -d 'Read-only'
complete -c bouncectl -n '__fish_seen_subcommand_from attach' -s P -d 'Scan for partitions'
complete -c bouncectl -n '__fish_seen_subcommand_from scrub' -l rate -x -d 'Bytes a second'
complete -c bouncectl -n '__fish_seen_subcommand_from scrub' -l resume -d 'Go on where one was interrupted'
complete -c bouncectl -n '__fish_seen_subcommand_from checksum' -a 'build show drop list-errors repair adopt'
complete -c bouncectl -n '__fish_seen_subcommand_from checksum' -l from -r -d 'Good copy to repair from'
