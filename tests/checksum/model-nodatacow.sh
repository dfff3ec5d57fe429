#!/bin/bash
# timeout: 1200
. "${0%/*}/model" nodatacow
