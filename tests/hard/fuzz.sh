#!/bin/bash
# Every fuzz target of tests/fuzz, a few seconds each (FUZZ_SECONDS: longer) from its stored corpus, with
# the address and the undefined behaviour sanitizer. What makes one fail is kept in the build
# directory and printed.
# timeout: 86400
. "${0%/*}/../lib.sh"
require clang

seconds=${FUZZ_SECONDS:-5}
build="${BUILD}-fuzz"

# The targets count on instrumented code everywhere, so it is a build of its own.
make_targets()
{
	[ -f "$build/build.ninja" ] ||
		CC=clang meson setup "$build" -Db_sanitize=address,undefined -Db_lundef=false \
			"-Dc_args=['-fsanitize=fuzzer-no-link', '-fno-sanitize-recover=all']"
	ninja -C "$build" "${targets[@]/#/tests/fuzz/fuzz-}"
}

mapfile -t targets < <(cd "$TESTS/fuzz/corpus" && printf '%s\n' *)
for t in "${targets[@]}"; do
	[ -f "$TESTS/fuzz/$t.c" ] || die "a corpus without target: $t"
done
for c in "$TESTS"/fuzz/*.c; do
	[ -d "$TESTS/fuzz/corpus/$(basename "$c" .c)" ] || die "a target without corpus: $c"
done
make_targets >"$TMP/make" 2>&1 || { cat "$TMP/make"; die "build failed"; }

# Options belong to the program's lifetime (-detect_leaks).
for t in "${targets[@]}"; do
	mkdir "$TMP/$t"
	ASAN_OPTIONS=detect_leaks=0 "$build/tests/fuzz/fuzz-$t" -detect_leaks=0 -close_fd_mask=3 \
		-max_total_time="$seconds" -print_final_stats=1 -artifact_prefix="$build/$t-" \
		"$TMP/$t" "$TESTS/fuzz/corpus/$t" >"$TMP/$t.log" 2>&1 ||
		{ tail -n 60 "$TMP/$t.log"; die "$t failed"; }
	note "$t: $(sed -n 's/^stat::number_of_executed_units: *//p' "$TMP/$t.log") inputs"
done
