#!/bin/bash
# Debian 13, fresh, with libfuse 3.17: what the README says installs what it needs, compiles and passes.
# timeout: 3600
. "${0%/*}/fresh"

enter_fresh trixie
[ "${FRESH:-}" != all ] || demonstrate
run_tests
