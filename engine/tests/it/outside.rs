//! A crate outside of the workspace defines, checks and trains cells of its own: its tests pass.

use std::process::Command;

#[test]
fn a_crate_of_ones_own() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/outside/Cargo.toml");
    let target = concat!(env!("CARGO_TARGET_TMPDIR"), "/outside");
    let run = Command::new(env!("CARGO"))
        .args(["test", "--release", "--locked", "--manifest-path", manifest, "--target-dir", target])
        .output()
        .expect("cargo runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(run.status.success(), "{}\n{}", text(&run.stdout), text(&run.stderr));
    assert!(text(&run.stdout).contains("2 passed"), "{}", text(&run.stdout));
}
