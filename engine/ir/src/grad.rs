//! stub
/// stub
pub fn grad(p: crate::Program) -> Result<crate::Program, String> { Ok(p) }
