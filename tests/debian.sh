# shellcheck shell=bash
# debian.sh - Debian releases come from the package mirrors that this machine uses, or from $MIRROR.

# mirror LABEL: of Debian, or of Debian-Security
mirror()
{
	# shellcheck disable=SC2016 # fields of apt's
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Label: $1" 'Component: main' | sed q
}

# sources RELEASE: lines of sources.list
sources()
{
	local security
	security=$(mirror Debian-Security)
	echo "deb ${MIRROR:-$(mirror Debian)} $1 main"
	[ -z "$security" ] || [ -n "${MIRROR:-}" ] || echo "deb $security $1-security main"
}
