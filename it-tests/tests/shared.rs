//! The stacks that all tests of this binary share.

pub(crate) use it_tests::shared::{fresh, stack, stack_on, unique};
