//! Images of the engine.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An image of the engine with its layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageLayers {
    /// Id, such as `sha256:…`.
    pub id: String,
    /// Digests of the uncompressed contents of the layers, from the lowest layer up.
    pub layers: Vec<String>,
}
