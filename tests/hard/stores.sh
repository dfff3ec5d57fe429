#!/bin/bash
# Every operation of the store fails in every way: the caller gets that very error, nobody else gets one or
# has to wait, and all is well as soon as the store is. At last the store goes away and comes back.
# timeout: 120
. "${0%/*}/lib.sh"

once() { "$TOOLS/once" "$@"; }

# attempt OPERATION: what it returned; on a name that was never used before where it makes one
attempt()
{
	case $1 in
	read | write | fallocate) once "$1" "$MNT/a.img" 8192 4096 ;;
	truncate) once truncate "$MNT/a.img" $((1 << 20)) ;;
	fsync | chmod | setxattr | open) once "$1" "$MNT/a.img" ;;
	mkdir | stat) once "$1" "$MNT/$new" ;;
	unlink) : >"$STORE_BELOW/pool/$new"; once unlink "$MNT/$new" ;;
	rename) : >"$STORE_BELOW/pool/$new"; once rename "$MNT/$new" "$MNT/$new.b" ;;
	link | symlink) once "$1" "$MNT/b.img" "$MNT/$new" ;;
	esac
}
names=0
next_name() { new=new.$((names += 1)); }

# what a success of it returns
success()
{
	case $1 in
	read | write) echo 4096 ;;
	stat) echo ENOENT ;;
	*) echo 0 ;;
	esac
}

# The one of the store's that an operation of ours depends on
fault_of()
{
	case $1 in
	read | write | fallocate | truncate | fsync | open) echo "$1" ;;
	stat) echo "stat file=$new" ;;
	*) echo meta ;;
	esac
}

milliseconds() { echo $(($(date +%s%N) / 1000000)); }

# others_go_on: a request to another image is answered meanwhile, and soon
others_go_on()
{
	local t0 took
	t0=$(milliseconds)
	is "another image" "$(timeout 5 "$TOOLS/once" write "$MNT/b.img" 0 4096)" 4096
	took=$(($(milliseconds) - t0))
	tally stall $took
	# (it would have waited for what is delayed)
	[ $took -lt 2000 ] || die "another image waited $took ms"
}

# as a guest's images are
hold_open()
{
	sleep 1000 8<>"$MNT/a.img" 9<>"$MNT/b.img" &
	holder=$!
	defer let_go
}
let_go() { kill $holder 2>/dev/null || true; within 5 exited $holder; }

operations="read write fsync fallocate truncate open stat mkdir unlink rename link symlink chmod setxattr"
store
mkdir "$STORE/pool"
for mode in none writeback; do
	dd if=/dev/zero of="$STORE_BELOW/pool/a.img" bs=1M count=1 status=none
	cp "$STORE_BELOW/pool/a.img" "$STORE_BELOW/pool/b.img"
	ctl zero
	bounce "$STORE/pool" "$MNT" cache=$mode
	hold_open
	for op in $operations; do
		for error in EIO ENOSPC EDQUOT EINTR EAGAIN; do
			# the kernel goes on trying these, and makes EOPNOTSUPP of that
			[[ $op:$error != @(read|write|setxattr):EAGAIN ]] || continue
			next_name
			ctl fail $error "$(fault_of "$op")"
			is "$mode: $op" "$(attempt "$op")" $error
			ctl clear
			next_name
			is "$mode: $op after $error" "$(attempt "$op")" "$(success "$op")"
		done
	done
	for error in EINTR EAGAIN; do
		for op in read write; do
			ctl fail $error $op times=3
			is "$mode: $op after three times $error" "$(attempt $op)" 4096
			ctl clear
		done
	done
	for op in read write fsync fallocate truncate mkdir; do
		next_name
		ctl delay 3000 "$(fault_of $op)" "file=$([ $op = mkdir ] && echo "$new" || echo a.img)"
		attempt $op >"$TMP/delayed" &
		sleep 0.2
		others_go_on
		wait $!
		ctl clear
		is "$mode: $op delayed" "$(cat "$TMP/delayed")" "$(success $op)"
	done
	let_go
	faults=$(counted faults)
	note "$mode: $faults faults"
	tally faults "$faults"
	unbounce "$MNT"
done

note "a store that goes away"
bounce "$STORE/pool" "$MNT" cache=none
hold_open
ctl hold write file=a.img
once write "$MNT/a.img" 0 4096 >"$TMP/held" &
held=$!
within 5 holds 1
kill -9 "$STORE_PID"
wait $held
is "a write that was under way" "$(cat "$TMP/held")" ECONNABORTED
gone() { fails "Transport endpoint is not connected" timeout 5 "$@"; }
gone dd if="/proc/$holder/fd/8" of="$TMP/out" count=1
gone stat "$MNT/c.img"
gone mkdir "$MNT/c"
let_go
unbounce "$MNT"
umount -l "$STORE"
"$TOOLS/store" "$STORE_BELOW" "$STORE"
STORE_PID=$(pgrep -x store)
bounce "$STORE/pool" "$MNT"
is "write to the store that is back" "$(once write "$MNT/a.img" 0 4096)" 4096
