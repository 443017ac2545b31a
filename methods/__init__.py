"""The networks. A method is one file here, in a package with the entry point `fsrbench.methods`, or given by --plugin."""
