#!/bin/sh
# Make a folder in which arm64 Python programs run on this machine:   sh .ci/arm64.sh FOLDER PYTHON [WHEEL...]
#
# FOLDER/python runs the arm64 Python 3.11 of Debian 12 in user-mode emulation, with numpy, ai-edge-litert and the given
# wheels; PYTHON is one of this machine that has pip. Needs Debian 12 with qemu-user-static; no root, no chroot.
# Exit code 77: something that it needs is missing here, and the last line says what.
set -eu
folder=$1 python=$2; shift 2
constraints=$(cd "$(dirname "$0")/.." && pwd)/constraints.txt
missing() { echo "missing: $*" >&2; exit 77; }

command -v qemu-aarch64-static >/dev/null 2>&1 || missing "qemu-aarch64-static (apt-get install qemu-user-static)"
command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 || missing "apt-get and dpkg-deb"
mkdir -p "$folder/root" "$folder/site" "$folder/wheels" "$folder/apt/lists/partial" "$folder/apt/archives/partial"
folder=$(cd "$folder" && pwd)

# apt with a state of its own: this machine's packages and architectures stay as they are.
apt() {
  apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root \
    -o Dir::State::lists="$folder/apt/lists" -o Dir::State::status=/dev/null -o Dir::Cache="$folder/apt" \
    -o Acquire::Languages=none "$@"
}
apt update >&2 || missing "Debian's package lists for arm64 (network?)"
cd "$folder/apt"
apt download libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libssl3 libffi8 libbz2-1.0 liblzma5 libuuid1 libsqlite3-0 \
  libpython3.11-minimal libpython3.11-stdlib python3.11-minimal >&2 || missing "Debian's Python 3.11 for arm64"
for package in ./*.deb; do dpkg-deb -x "$package" "$folder/root"; done

# The engines ask the processor's kernel for its features: without these files they read x86's and crash.
mkdir -p "$folder/root/proc" "$folder/root/sys/devices/system/cpu"
for core in 0 1; do
  printf 'processor\t: %s\nBogoMIPS\t: 50.00\n' $core
  printf 'Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp\n'
  printf 'CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\nCPU revision\t: 1\n\n'
done >"$folder/root/proc/cpuinfo"
for list in possible present online; do echo 0-1 >"$folder/root/sys/devices/system/cpu/$list"; done

"$python" -m pip --disable-pip-version-check -q download --no-deps --only-binary=:all: --python-version 3.11 \
  --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 -c "$constraints" -d "$folder/wheels" \
  numpy ai-edge-litert >&2 || missing "the arm64 wheels of numpy and ai-edge-litert (network?)"
for wheel in "$folder"/wheels/*.whl "$@"; do "$python" -m zipfile -e "$wheel" "$folder/site"; done

# Programs that start a child by sys.executable get the wrapper: the arm64 program itself does not run here.
echo "import sys; sys.executable = '$folder/python'" >"$folder/site/sitecustomize.py"
cat >"$folder/python" <<END
#!/bin/sh
# neoverse-n1: with qemu's "max" the int8 kernels compute wrong, with older cores they are illegal instructions.
exec qemu-aarch64-static -cpu neoverse-n1 -L "$folder/root" -E PYTHONPATH="$folder/site" -E LD_LIBRARY_PATH= \\
  -E PYTHONDONTWRITEBYTECODE=1 -E HOME=/tmp "$folder/root/usr/bin/python3.11" "\$@"
END
chmod +x "$folder/python"
