//! Delivery from the road to the sinks, with everything in between that can go wrong: single cases here, random ones in `campaign`.

mod campaign;
mod cases;
mod jql;
mod notes;
mod reload;
mod replay;
mod scripted;
mod world;
