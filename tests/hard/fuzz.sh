#!/bin/bash
# Every fuzz target of tests/fuzz, a minute each and all at once (FUZZ_SECONDS: longer), from its stored
# corpus, with the address and the undefined behaviour sanitizer. What makes one fail is kept in the
# build directory and printed. They take what time other tests leave.
# timeout: 86400
. "${0%/*}/lib.sh"
require clang

seconds=${FUZZ_SECONDS:-60}
build="${BUILD}-fuzz"

# The targets count on instrumented code everywhere, so it is a build of its own.
make_targets()
{
	[ -f "$build/build.ninja" ] ||
		CC=clang meson setup "$build" -Db_sanitize=address,undefined -Db_lundef=false \
			"-Dc_args=['-fsanitize=fuzzer-no-link', '-fno-sanitize-recover=all']"
	ninja -C "$build" "${targets[@]/#/tests/fuzz/fuzz-}"
}

# Options belong to the program's lifetime (-detect_leaks).
fuzz()
{
	mkdir "$TMP/$1"
	ASAN_OPTIONS=detect_leaks=0 nice -n 19 "$build/tests/fuzz/fuzz-$1" -detect_leaks=0 -close_fd_mask=3 \
		-max_total_time="$seconds" -print_final_stats=1 -artifact_prefix="$build/$1-" \
		"$TMP/$1" "$TESTS/fuzz/corpus/$1" >"$TMP/$1.log" 2>&1
}

mapfile -t targets < <(cd "$TESTS/fuzz/corpus" && printf '%s\n' *)
for t in "${targets[@]}"; do
	[ -f "$TESTS/fuzz/$t.c" ] || die "a corpus without target: $t"
done
for c in "$TESTS"/fuzz/*.c; do
	[ -d "$TESTS/fuzz/corpus/$(basename "$c" .c)" ] || die "a target without corpus: $c"
done
make_targets >"$TMP/make" 2>&1 || { cat "$TMP/make"; die "build failed"; }

declare -A process
for t in "${targets[@]}"; do
	fuzz "$t" &
	process[$t]=$!
done
for t in "${targets[@]}"; do
	wait "${process[$t]}" || { tail -n 60 "$TMP/$t.log"; die "$t failed"; }
	inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$TMP/$t.log")
	note "$t: $inputs inputs"
	tally inputs "$inputs"
done
