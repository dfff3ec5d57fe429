#!/bin/bash
# README, manual pages and completions know the options that the programs have, with their values and defaults.
. "${0%/*}/../lib.sh"

"$TESTS/../contrib/check-docs" "$BUILD"
