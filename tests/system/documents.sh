#!/bin/bash
# README, manual pages and completions know the options that the programs have, with their values and defaults, and are
# well-formed.
. "${0%/*}/../lib.sh"

"$TESTS/../contrib/check-docs" "$BUILD"

require mandoc
for page in "$BUILD"/contrib/man/*.[1-9]; do
	mandoc -T lint -W warning "$page" || die "${page##*/}"
done
for completion in "$TESTS"/../contrib/completions/*.bash; do bash -n "$completion"; done
for shell in zsh:_bounce\* fish:\*.fish; do
	! command -v "${shell%:*}" >/dev/null || for completion in "$TESTS"/../contrib/completions/${shell#*:}; do
		"${shell%:*}" -n "$completion" || die "${completion##*/}"
	done
done
"$TESTS/../contrib/demo-svg" >"$TMP/svg" <<-END
	Linux 6.18.1-build                                 -- nodatacow image --
	held write: what reached the disk                    new          old
END
grep -q '>held write.*ff6b6b.*new.*7ddb7d.*old' "$TMP/svg" || die "contrib/demo-svg"
