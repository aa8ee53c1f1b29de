//! Enums whose variants are the values of a metric's label: each has its word, and all can be listed, so that every
//! series is there from the start.

/// Declares an enum with `COUNT`, `all` and `as_str`.
macro_rules! closed_enum {
    ($(#[$outer:meta])* pub enum $name:ident { $($(#[$inner:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$inner])* $variant,)+ }

        impl $name {
            /// How many there are.
            pub const COUNT: usize = [$(Self::$variant),+].len();

            /// All, in their order.
            pub const fn all() -> [Self; Self::COUNT] {
                [$(Self::$variant),+]
            }

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

pub(crate) use closed_enum;
