"""A trained classifier to an artefact folder, each file checked before it ships."""
