"""The trusted third party's trade: an INS goes in, a random subject comes out, and no one holds both ends."""
