#!/bin/bash
# timeout: 600
. "${0%/*}/flips" xfs
