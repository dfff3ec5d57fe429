#!/bin/bash
# timeout: 600
. "${0%/*}/flips" ext4
