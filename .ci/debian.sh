#!/usr/bin/env bash
# Debian packages that some tests use as independent judges: uefitool-cli and xz-utils unpack firmware volumes, ovmf is real
# firmware, which boots under qemu-system-x86 with our TPM, as a kernel (linux-image-cloud-amd64, with busybox-static) does;
# tpm2-tools, systemd (systemd-creds) and cryptsetup-bin use our TPM, swtpm is the TPM that it is compared with, openssl
# verifies what both sign. All are optional: tests that need one say so and skip without it.
#
# Exit code: 0 the packages are there; 75 (EX_TEMPFAIL of sysexits.h) they are not, the last line says why.
set -u
packages=(
  uefitool-cli xz-utils ovmf qemu-system-x86 linux-image-cloud-amd64 busybox-static
  tpm2-tools swtpm swtpm-tools systemd cryptsetup-bin openssl
)

without() {
  echo "$1"
  exit 75
}

present() {
  dpkg-query --show --showformat='${Status}\n' "${packages[@]}" 2>/dev/null | grep -c '^install ok installed$'
}

command -v apt-get >/dev/null 2>&1 || without 'no apt-get on this machine'
[ "$(present)" = "${#packages[@]}" ] && exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
  sudo -n true 2>/dev/null || without "installing ${packages[*]} needs root"
  as_root=(sudo -n)
fi

export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq || without 'apt-get update failed (no network, or no package lists)'
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null ||
  without "apt-get could not install ${packages[*]}"
