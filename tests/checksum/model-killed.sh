#!/bin/bash
# The daemon is killed at random moments: between data and sums, with readers racing.
# timeout: 1200
DEATHS=20
. "${0%/*}/model" xfs
