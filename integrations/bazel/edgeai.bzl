"""Models made by `edgeai build` as a rule of Bazel.

    load("//tools:edgeai.bzl", "edgeai_build")

    edgeai_build(
        name = "models",
        config = "edgeai.toml",
        srcs = ["edgeai.lock", "labels.txt", "models/digits.onnx", "data/digits.npz"],
        only = "digits/pi",
        outs = ["build/digits/pi/digits.edge"],
    )

Everything that `edgeai.toml` names must be in `srcs`, and lie in the package's folder or below. `edgeai.lock` is
replayed, never written: an action must make the same from the same inputs, and a search is led by measured times. A
broken gate fails the action. Gates on times are measured where the action runs: keep such targets on a machine of
their own (`exec_compatible_with`).
"""

_COMMAND = """\
set -eu
work="$PWD/$1.edgeai"; config="$2"; package="$3"; edgeai="$4"; only="$5"; shift 5
rm -rf "$work"; mkdir -p "$work"
while [ "$1" != -- ]; do
  file="$1"; shift
  inside="${file#"$package"/}"
  mkdir -p "$work/$(dirname "$inside")"
  cp -L "$file" "$work/$inside"
done
shift
if ! "$edgeai" build "$work/${config#"$package"/}" --locked ${only:+--only "$only"} >"$work.log" 2>&1; then
  cat "$work.log" >&2
  exit 1
fi
while [ $# -gt 0 ]; do
  mkdir -p "$(dirname "$2")"
  cp "$work/$1" "$2"
  shift 2
done
rm -rf "$work" "$work.log"
"""

def _edgeai_build_impl(ctx):
    root = ctx.label.package
    folder = ctx.file.config.dirname
    arguments = ctx.actions.args()
    arguments.add_all([ctx.outputs.outs[0].path, ctx.file.config.path, folder, ctx.attr.edgeai, ctx.attr.only])
    inputs = [ctx.file.config] + ctx.files.srcs
    arguments.add_all([one.path for one in inputs])
    arguments.add("--")
    for out in ctx.outputs.outs:
        inside = out.short_path[len(root) + 1:] if root else out.short_path
        arguments.add_all([inside, out.path])
    ctx.actions.run_shell(
        command = _COMMAND,
        arguments = [arguments],
        inputs = inputs,
        outputs = ctx.outputs.outs,
        mnemonic = "EdgeaiBuild",
        progress_message = "edgeai build " + ctx.attr.only,
        use_default_shell_env = True,
    )
    return [DefaultInfo(files = depset(ctx.outputs.outs))]

edgeai_build = rule(
    implementation = _edgeai_build_impl,
    doc = "Runs `edgeai build --locked` on a copy of its inputs.",
    attrs = {
        "config": attr.label(allow_single_file = True, mandatory = True, doc = "The edgeai.toml."),
        "srcs": attr.label_list(allow_files = True, doc = "edgeai.lock, and every file that edgeai.toml names."),
        "only": attr.string(doc = "A model, or model/target."),
        "outs": attr.output_list(
            mandatory = True,
            allow_empty = False,
            doc = "Files it writes, by their path from edgeai.toml.",
        ),
        "edgeai": attr.string(default = "edgeai", doc = "The program, on the path of actions or as a full path."),
    },
)
