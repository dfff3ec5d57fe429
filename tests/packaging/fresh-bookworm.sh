#!/bin/bash
# Debian 12, fresh: the README's two commands work, in its order.
# timeout: 3600
. "${0%/*}/fresh"

enter_fresh bookworm
demonstrate
run_tests
