"""The CustomResourceDefinition of S3Sinks, made from the types in ``spec``. Pure, but for the file of pods' schemas.

``schema`` turns types into a structural schema; ``rules`` adds what only expressions (CEL) can say, each with a
message that says what to write instead; ``status`` is the status' schema; ``definition`` puts them together and
``reference`` is the same for people. Nothing of this runs in a cluster: ``python -m s3sink_operator.crd`` writes
``crds/``, and a test tells when that is out of date.
"""

from s3sink_operator.crd.definition import definition, manifest

__all__ = ["definition", "manifest"]
