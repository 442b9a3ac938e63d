//! Contest in a box, floor, peers. (Being built.)
