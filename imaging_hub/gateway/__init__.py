"""The door for hospitals: who may send, and the receiver that acknowledges only what is durable."""
