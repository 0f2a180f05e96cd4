#!/usr/bin/env bash
# licenses.sh list:   every module that the program or its tests are built from,
#                     with its version and licence, as Markdown.
# licenses.sh texts:  the licences' texts of what is in the program, to ship beside it.
# It reads the module cache; a module without a licence it knows is a failure.
set -euo pipefail
cd "$(dirname "$0")/../.."

# modules PACKAGES…: path, version and folder of each module they are built from.
modules() {
	go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' "$@" | sort -u
}

files() {
	find "$1" -maxdepth 1 -type f | grep -iE '/(licen[cs]e|copying|notice)[^/]*$' | sort
}

# kind FOLDER: the licence's SPDX name.
kind() {
	local text name=
	text=$(files "$1" | grep -viE 'notice' | xargs -r -d '\n' cat | tr -s '[:space:]' ' ')
	add() { name=${name:+$name AND }$1; }
	grep -q 'Apache License' <<<"$text" && add Apache-2.0
	grep -q 'Eclipse Public License - v 2.0' <<<"$text" && add EPL-2.0
	grep -q 'Eclipse Distribution License' <<<"$text" && add BSD-3-Clause
	grep -q 'Mozilla Public License' <<<"$text" && add MPL-2.0
	grep -q 'Permission is hereby granted, free of charge' <<<"$text" && add MIT
	grep -q 'Permission to use, copy, modify, and/or distribute this software for any' <<<"$text" && add ISC
	if grep -q 'Redistribution and use in source and binary forms' <<<"$text"; then
		if grep -qiE 'neither the names? of|name of .{0,80} may not be used|contributors may' <<<"$text"; then add BSD-3-Clause; else add BSD-2-Clause; fi
	fi
	[ "$name" != "EPL-2.0 AND BSD-3-Clause" ] || name="EPL-2.0 OR BSD-3-Clause" # the library may be had under either
	echo "${name:-UNKNOWN}"
}

case ${1:-} in
list)
	program=$(modules ./cmd/thingbridge)
	all=$(modules -test ./...)
	printf '# Licences\n\nMade by `deployments/licenses/licenses.sh list`.\n'
	status=0
	table() {
		printf '\n## %s\n\n| module | version | licence |\n|---|---|---|\n' "$1"
		while read -r path version dir; do
			[ -n "$path" ] || continue
			spdx=$(kind "$dir")
			[ "$spdx" != UNKNOWN ] || { echo "$path: no licence that is known" >&2; status=1; }
			echo "| $path | $version | $spdx |"
		done
	}
	table "In the program" <<<"$program"
	table "In its tests and benchmarks only" < <(comm -13 <(echo "$program") <(echo "$all"))
	exit $status
	;;
texts)
	modules ./cmd/thingbridge | while read -r path version dir; do
		files "$dir" | while read -r file; do
			printf '%s %s, %s\n\n' "$path" "$version" "$(basename "$file")"
			cat "$file"
			printf '\n\n%s\n\n' "--------------------------------------------------------------------------------"
		done
	done
	;;
*)
	echo "licenses.sh list | texts" >&2
	exit 2
	;;
esac
