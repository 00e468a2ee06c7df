#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# man.sh VERB…: each verb of the command line has a manual page, sidetrack-VERB(1), that mandoc finds nothing wrong with.

passed=0
failed=0
for verb in "$@"; do
	page=$SIDETRACK_SRC/man/sidetrack-$verb.1
	if [ ! -e "$page" ]; then
		echo "$verb has no manual page: $page"
	elif ! grep -q '^\.Sh EXAMPLES' "$page"; then
		echo "$page has no example"
	elif mandoc -Tlint -Wwarning "$page"; then
		passed=$((passed + 1))
		continue
	fi
	failed=$((failed + 1))
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
