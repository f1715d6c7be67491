#!/bin/sh
# The page of `tenon explain --html`, opened in a headless Chromium and used as a person would.
#
# in:  $TENON, build/models; Chromium and node, which `tests/tools/deps.sh page` installs
# out: one TAP line a check; skipped where there is no Chromium, no node or no model
TENON=$(realpath "${TENON:-build/tenon}")
cd "$(dirname "$0")/.." || exit 1
work=$(realpath -m "${BUILD:-build}/test-logs/explain-page")
rm -rf "$work" && mkdir -p "$work" || exit 1
skip() { echo 1..1; echo "ok 1 # SKIP $1"; exit 0; }
command -v node >/dev/null || skip "no node (tests/tools/deps.sh page)"
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
    skip "no Chromium (tests/tools/deps.sh page)"
[ "${MODE:-default}" = default ] || skip "the page is the same in every build"

# Names that would do harm if they were taken for markup.
cat >"$work/hostile.tn" <<'END'
module "</title><script>document.title='broken'</script>"
fn @main(%"</script><script>throw 1</script>": f32[n, 8], %"<img src=x onerror=alert(1)>": f32[8, 8] weight, %"a\"b'c&d; é": f32[8]) -> (%"<b>bold</b>": f32[n, 8]) {
  %0 = dot %"</script><script>throw 1</script>", %"<img src=x onerror=alert(1)>", contract=[1]x[0]
  %1 = broadcast %"a\"b'c&d; é", dims=[1], shape=[n, 8]
  %2 = add %0, %1
  %3 = softmax %2, axis=1
  return %3
}
END
models=build/models
"$TENON" explain "$work/hostile.tn" --set n=4 --no-run --html "$work/hostile.html" || exit 1
for model in random_resnet50 paraphrase-MiniLM-L3-v2; do
    [ -e "$models/$model.onnx" ] || continue
    "$TENON" explain "$models/$model.onnx" --threads 1 --seconds 0.1 --html "$work/$model.html" || exit 1
done
exec node tests/tools/explain_page.mjs "$work"
