//! stub
/// stub
pub fn hoist(p: crate::Program) -> crate::Program { p }
/// stub
pub fn sink(p: crate::Program) -> crate::Program { p }
