#!/bin/bash
# Debian 13, fresh: the README's two commands work.
# timeout: 540
. "${0%/*}/fresh"
fresh trixie
