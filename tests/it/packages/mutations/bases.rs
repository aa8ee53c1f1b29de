//! The packages that are mutated: small enough that every byte can be touched, and with everything that a package has.

use crate::packages::varied;
use tests::cab::{Cab, CabBuilder, Packing};
use tests::hostile::Way;
use tests::lzx::{Block, Lzx};

/// A package before it is mutated.
pub(super) struct Base {
    pub(super) name: String,
    pub(super) way: Way,
    pub(super) cab: Cab,
    /// What it is made of.
    pub(super) shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Some hundred bytes, with reserved fields.
    Small,
    /// Two folders, several blocks.
    Blocks,
    /// An update, as a vendor would pack it.
    Update,
}

pub(super) fn all() -> Vec<Base> {
    packings().into_iter().flat_map(|(name, packing)| of(name, &packing)).collect()
}

fn packings() -> [(&'static str, Packing); 3] {
    let lzx = Lzx {
        window_bits: 15,
        blocks: vec![Block::Verbatim, Block::Aligned, Block::Uncompressed],
        block_bytes: 7_001,
        translation_size: Some(50_000),
    };
    [("stored", Packing::Stored), ("mszip", Packing::MsZip), ("lzx", Packing::Lzx(lzx))]
}

fn of(name: &str, packing: &Packing) -> [Base; 3] {
    let small = CabBuilder::new().folder(packing.clone()).file("a", &varied(4, 90)).file("b\\c.cat", b"");
    let small = small.file("d", b"d").reserve(2, 1, 3);
    let blocks = CabBuilder::new().folder(packing.clone()).file("a.nbt", &varied(1, 100));
    let blocks = blocks.file("b.nbt", &varied(2, 40_000)).folder(Packing::MsZip).file("c.cat", &varied(3, 1_000));
    let path = |file: &str| format!("UCPhone\\Polycom\\CX600\\A\\ENU\\4.0.7577.4387\\CPE\\{file}");
    let update = CabBuilder::new().folder(packing.clone()).file("updateInfo.xml", DESCRIPTION.as_bytes());
    let update = update.file(&path("CPE.nbt"), &varied(5, 500)).file(&path("CPE.cat"), b"a catalog");
    let base = |shape, way, builder: &CabBuilder| Base {
        name: format!("{name} {shape:?}").to_lowercase(),
        way,
        cab: builder.build(),
        shape,
    };
    [
        base(Shape::Small, Way::Cabinet, &small),
        base(Shape::Blocks, Way::Cabinet, &blocks),
        base(Shape::Update, Way::Package, &update),
    ]
}

const DESCRIPTION: &str = r#"<Updates><Updates><Update version="4.0.7577.4387" deviceType="UCPhone" brand="Polycom" model="CX600" revision="A" locale="ENU" updateType="CPE">
<File name="CPE.nbt" signature="CPE.cat" path="UCPhone\Polycom\CX600\A\ENU\4.0.7577.4387\CPE"/></Update></Updates></Updates>"#;
