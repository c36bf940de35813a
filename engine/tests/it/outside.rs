//! A crate outside of the workspace defines, checks and trains cells of its own: its tests pass.

use std::process::Command;

#[test]
fn a_crate_of_ones_own() {
    let engine = env!("CARGO_MANIFEST_DIR");
    let outside = format!("{engine}/tests/outside");
    // The workspace's versions, so that nothing new has to be fetched.
    std::fs::copy(format!("{engine}/../Cargo.lock"), format!("{outside}/Cargo.lock")).expect("the lock file is copied");
    let target = concat!(env!("CARGO_TARGET_TMPDIR"), "/outside");
    let run = Command::new(env!("CARGO"))
        .args(["test", "--release", "--target-dir", target, "--manifest-path", &format!("{outside}/Cargo.toml")])
        .output()
        .expect("cargo runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(run.status.success(), "{}\n{}", text(&run.stdout), text(&run.stderr));
    assert!(text(&run.stdout).contains("2 passed"), "{}", text(&run.stdout));
}
