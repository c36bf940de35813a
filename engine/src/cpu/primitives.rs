//! One kernel for each primitive: what an unfused plan calls. The macro makes them as it makes fused ones, from the
//! same table.

g2_macros::primitive_kernels! {}
