"""Networks: the U-Net and the DiT (1-D and 2-D), the EGNN, the graph transformer and the MLP. None knows a domain.

A backbone is called as backbone(x, log_sigma, space, cond), receives a state of unit variance, and returns a state of
the same shape. The autoencoders and the tower have other methods (`polydiff.encode.module`, `polydiff.match.module`). A
backbone is built as factory(config, channels=, dims=, conditions=).
"""

from polydiff.contract.backbone import BackboneSpec

UNET = BackboneSpec(
    name="unet",
    summary="Convolutional U-Net with attention, for waveforms (1-D) and images (2-D) of any size.",
    config="polydiff.backbones.config:UNetConfig",
    factory="polydiff.backbones.unet:UNet",
    dims=(1, 2),
    examine="polydiff.backbones.kernels.native:examine",
    units=("Stage",),
)

DIT = BackboneSpec(
    name="dit",
    summary="Diffusion transformer on patches, for waveforms (1-D) and images (2-D) of any size.",
    config="polydiff.backbones.config:DiTConfig",
    factory="polydiff.backbones.dit:DiT",
    dims=(1, 2),
    units=("Block",),
)

AUTOENCODER = BackboneSpec(
    name="autoencoder",
    summary="Convolutional autoencoder with few numbers in the middle, for waveforms (1-D) and images (2-D).",
    config="polydiff.backbones.config:AutoencoderConfig",
    factory="polydiff.backbones.encoders.autoencoder:Autoencoder",
    dims=(1, 2),
    role="codec",
)

POINT_AUTOENCODER = BackboneSpec(
    name="point_autoencoder",
    summary="Equivariant autoencoder with few numbers for each atom, for molecules.",
    config="polydiff.backbones.config:PointAutoencoderConfig",
    factory="polydiff.backbones.encoders.points:PointAutoencoder",
    dims=(3,),
    role="codec",
)

TOWER = BackboneSpec(
    name="tower",
    summary="Encoders of waveforms (1-D) or images (2-D), and of texts, to vectors of one width.",
    config="polydiff.backbones.config:TowerConfig",
    factory="polydiff.backbones.encoders.tower:Tower",
    dims=(1, 2),
    role="tower",
)

EGNN = BackboneSpec(
    name="egnn",
    summary="Graph network equivariant under rotations, reflections and permutations, for molecules.",
    config="polydiff.backbones.config:EGNNConfig",
    factory="polydiff.backbones.molecules.egnn:EGNN",
    dims=(3,),
    units=("Layer",),
)

GRAPH_TRANSFORMER = BackboneSpec(
    name="graph_transformer",
    summary="Equivariant transformer with features of pairs and vectors of atoms, for molecules.",
    config="polydiff.backbones.config:GraphTransformerConfig",
    factory="polydiff.backbones.molecules.graph_transformer:GraphTransformer",
    dims=(3,),
    takes=("pairs",),
    units=("Layer",),
)

MLP = BackboneSpec(
    name="mlp",
    summary="Residual multilayer perceptron, for vectors.",
    config="polydiff.backbones.config:MLPConfig",
    factory="polydiff.backbones.mlp:MLP",
    dims=(0,),
    units=("Block",),
)

DIFFUSERS = BackboneSpec(
    name="diffusers",
    summary="a U-Net or DiT of the library diffusers, for images; exported to it and imported.",
    config="polydiff.backbones.diffusers.config:DiffusersConfig",
    factory="polydiff.backbones.diffusers.network:DiffusersNetwork",
    dims=(2,),
    requires=("diffusers",),
    install='pip install "polydiff[diffusers]"',
)
