#!/bin/bash
# Static analysis finds nothing: clang-tidy, cppcheck, gcc's analyzer and shellcheck, in Debian 12's versions
# (others know other warnings, and are not asked). What is not asked for, and why, is said below.
# timeout: 500
. "${0%/*}/lib.sh"
require clang-tidy cppcheck shellcheck gcc git

version() { "$@" --version | grep -oE '[0-9]+\.[0-9.]+' | head -n 1; }
[[ $(version gcc) == 12.* && $(version clang-tidy) == 14.* && $(version cppcheck) == 2.10* ]] ||
	skip "not Debian 12's versions"

cd "$TESTS/.."
mapfile -t sources < <(ls fuse/*.c cache/*.c policy/*.c)
none() { [ ! -s "$TMP/$1" ] || { cat "$TMP/$1"; die "$1 has found something"; }; }

# cleanup attributes look like leaks to it, and NULL is a pointer here
cppcheck --quiet --std=c17 -D_GNU_SOURCE -DVERSION='""' -DURING_VERSION='""' -DFUSE_USE_VERSION=314 -I. \
	--enable=warning,performance,portability --inline-suppr --suppress=missingIncludeSystem \
	--suppress=resourceLeak --suppress=memleak --suppress=varFuncNullUB \
	--suppress=uninitvar:fuse/protocol.c "${sources[@]}" 2>"$TMP/cppcheck"
none cppcheck

# The analyzer of gcc 12 knows neither cleanup attributes nor reallocarray(3), nor that what was just opened
# is there, nor that getxattr(2) takes NULL for a size of 0.
perl -MJSON::PP -0 -ne 'for (@{decode_json $_}) {
		my $c = $_->{command};
		next unless $_->{file} =~ m{^\.\./(fuse|cache|policy)/} && $_->{output} !~ /^tests/;
		$c =~ s/ -MD -MQ \S+ -MF \S+| -Werror//g;
		$c =~ s/ -o \S+/ -o \/dev\/null/;
		print "$c -fanalyzer -fno-diagnostics-color -fdiagnostics-plain-output\n"
	}' "$BUILD/compile_commands.json" >"$TMP/commands"
(cd "$BUILD" && xargs -d '\n' -P 2 -n 1 sh -c <"$TMP/commands") >"$TMP/gcc.log" 2>&1 || true
grep -E 'warning:|error:' "$TMP/gcc.log" |
	grep -vE 'analyzer-(malloc-leak|use-of-uninitialized-value|mismatching-deallocation|use-after-free)\]' |
	grep -vE 'fuse/ops-file.c:.*null-dereference|fuse/ops-xattr.c:.*null-argument' >"$TMP/gcc" || true
none gcc

# Conversions between sizes and offsets are everywhere and fit; memcpy(3) and the like copy what was measured; the rest
# are paths that it takes for possible.
unasked=bugprone-easily-swappable-parameters,bugprone-narrowing-conversions,bugprone-branch-clone
unasked+=,bugprone-implicit-widening-of-multiplication-result,bugprone-suspicious-string-compare
unasked+=,bugprone-reserved-identifier,bugprone-macro-parentheses,bugprone-assignment-in-if-condition
unasked+=,bugprone-sizeof-expression,clang-analyzer-unix.Malloc,clang-analyzer-valist.Uninitialized
unasked+=',clang-analyzer-security.insecureAPI.*,clang-analyzer-core.NonNullParamChecker'
unasked+=,clang-analyzer-core.CallAndMessage,clang-analyzer-core.DivideZero
unasked+=,clang-analyzer-core.uninitialized.UndefReturn,clang-analyzer-optin.portability.UnixAPI
printf '%s\0' "${sources[@]}" | xargs -0 -P 2 -n 8 nice clang-tidy -p "$BUILD" --quiet \
	--checks="-*,clang-analyzer-*,bugprone-*,-${unasked//,/,-}" >"$TMP/tidy.log" 2>/dev/null || true
grep -E 'warning:|error:' "$TMP/tidy.log" | grep -v '^ ' >"$TMP/clang-tidy" || true
none clang-tidy

# Scripts by what they begin with. `a && b || c` and dollars in single quotes are meant as written; what traps and
# `within` call looks unreachable.
git ls-files | while read -r f; do
	! head -n 1 "$f" | grep -qaE '^#!/bin/(ba)?sh|^# shellcheck shell' || echo "$f"
done | xargs shellcheck -x -P SCRIPTDIR -e SC1091,SC2015,SC2016,SC2317 >"$TMP/shellcheck" || true
none shellcheck
note "$(wc -l <"$TMP/commands") sources"
