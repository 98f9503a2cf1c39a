"""A pipeline of diffusers that draws images of classes, with guidance. Copied as pipeline.py beside an exported run.

    pipe = DiffusionPipeline.from_pretrained(FOLDER, custom_pipeline=FOLDER, trust_remote_code=True)
    images = pipe(class_labels=[7] * 16, guidance_scale=2.0, num_inference_steps=50).images

The last row of the network's class embedding means that no class is given; guidance moves away from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler, DiffusionPipeline, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor


class ClassPipeline(DiffusionPipeline):  # type: ignore[misc] # its types are not followed
    """DDIM with classes and classifier-free guidance.

    Arguments:
        unet: A UNet2DModel with an embedding of classes.
        scheduler: Any scheduler; DDIM takes its betas.
    """

    def __init__(self, unet: Any, scheduler: Any) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=DDIMScheduler.from_config(scheduler.config))

    @torch.no_grad()
    def __call__(
        self,
        class_labels: Sequence[int],
        guidance_scale: float = 1.0,
        num_inference_steps: int = 50,
        eta: float = 0.0,
        generator: Any = None,
        output_type: str = "pil",
    ) -> Any:
        """Return images of these classes; -1: of no class.

        Arguments:
            class_labels: The class of each image.
            guidance_scale: Scale of guidance; 1: none.
            num_inference_steps: Number of steps.
            eta: 0: DDIM; 1: as much noise as DDPM.
            generator: Generator of random numbers, or one for each image.
            output_type: "pil", "np" or "pt".

        Raises:
            ValueError: A class does not exist, or there is none.
        """
        config, device = self.unet.config, self.unet.device
        class_labels = list(class_labels)
        if not class_labels or any(not -1 <= label < config.num_class_embeds - 1 for label in class_labels):
            raise ValueError(f"class_labels should be classes from 0 to {config.num_class_embeds - 2}, or -1 for none")
        side = config.sample_size
        sizes = (side, side) if isinstance(side, int) else tuple(side)
        none = torch.full((len(class_labels),), config.num_class_embeds - 1, device=device)
        labels = torch.tensor(list(class_labels), device=device)
        labels = torch.where(labels < 0, none, labels)
        x = randn_tensor((len(labels), config.in_channels, *sizes), generator=generator, device=device)
        self.scheduler.set_timesteps(num_inference_steps)
        for t in self.progress_bar(self.scheduler.timesteps):
            out = self.unet(x, t, class_labels=labels).sample
            if guidance_scale != 1:
                weak = self.unet(x, t, class_labels=none).sample
                out = weak + guidance_scale * (out - weak)
            x = self.scheduler.step(out, t, x, eta=eta, generator=generator).prev_sample
        images = (x / 2 + 0.5).clamp(0, 1)
        if output_type != "pt":
            images = images.cpu().permute(0, 2, 3, 1).numpy()
            images = self.numpy_to_pil(images) if output_type == "pil" else images
        return ImagePipelineOutput(images=images)
