//! The program `g2lstm`.

fn main() {}
