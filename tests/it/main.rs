//! Tests of rooms together, from outside the library: one binary, so that it is linked once.

mod delivery;
mod fuzz;
mod normalize;
mod queue_contract;
mod scenario;
mod stage;
mod store;
