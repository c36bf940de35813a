//! `g2-macros`
