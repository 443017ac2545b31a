"""The networks: a method is one file, here, behind the entry point `fsrbench.methods`, or given by --plugin."""
