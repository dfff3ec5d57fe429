#!/bin/bash
# Debian 12, fresh: the README's two commands work.
# timeout: 540
. "${0%/*}/fresh"
fresh bookworm
