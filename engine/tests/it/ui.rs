//! What the compiler shows for wrong graphs, word for word; `TRYBUILD=overwrite` blesses it, then read the diff.

#[test]
fn errors_teach() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
