#!/bin/bash
# timeout: 1200
LOAD=12 CUTS=${CUTS:-6} # seconds: long enough for regions to be called clean
. "${0%/*}/powerloss" xfs
