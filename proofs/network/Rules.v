(** * How each kind of unit meets the conditions of Bound.v

    One pair of lemmas for each row of the table in docs/bound.md, section 3: what the unit's exact
    operation leaves besides an affine form of earlier units, for its value and for its change.

    - [affine_value], [affine_change]: sums, that is convolutions, dense layers, means, additions;
    - [silu_value_half], [silu_value_slope], [silu_change_rule], and the same for sigmoid;
    - [gate_value], [gate_change]; [boxed_value] for units that forget what they depend on;
    - [pixel_value], [pixel_change].

    Rests on Slopes.v. Each stands behind the rule of the same name in operators/; [kept] and [core]
    are one in lastbit_check, but for boxed nodes. *)

From Coq Require Import Reals Lra Lia List ZArith.
From Lastbit Require Import Statement Totals curves.Slopes operations.Units binary32.Terms
  binary32.Sums.
From Lastbit Require Import network.Neighbours network.Duals network.Forms network.Bound.
Import ListNotations.
Open Scope R_scope.

(** ** Affine units *)

(** Unit [k] is [beta + sum_j w j * x j]. *)
Definition affine (k : nat) (o : operation) (w : nat -> R) (beta : R) : Prop :=
  forall v r, ideal o v r = beta + over k (fun j => w j * r j).

(** The weight of unit [j] in a sum of products. *)
Definition weight (ws : list (R * nat)) (j : nat) : R :=
  total (map (fun wi => if (snd wi =? j)%nat then fst wi else 0) ws).

Lemma weight_sum k ws r : (forall j, In j (map snd ws) -> (j < k)%nat) ->
  total (map (fun wi => fst wi * r (snd wi)) ws) = over k (fun j => weight ws j * r j).
Proof.
  unfold weight. induction ws as [|[w i] ws IH]; intros H; simpl.
  - rewrite (over_cut k 0); [reflexivity|lia|]. intros. ring.
  - unfold total in *. rewrite IH by (intros; apply H; now right).
    transitivity (over k (fun j => (if (i =? j)%nat then w else 0) * r j +
      fold_right Rplus 0 (map (fun wi => if (snd wi =? j)%nat then fst wi else 0) ws) * r j)).
    + rewrite over_plus. f_equal. rewrite (over_one k i); [now rewrite Nat.eqb_refl| |].
      * apply H. now left.
      * intros j _ N. destruct (Nat.eqb_spec i j) as [->|]; [easy|ring].
    + apply over_ext. intros. ring.
Qed.

(** What a sum weighs its units with. *)
Definition plain (ws : list (list factor * nat)) : list (R * nat) :=
  map (fun w => (constant (fst w), snd w)) ws.

Lemma sum_affine k ws bs : (forall j, In j (map snd ws) -> (j < k)%nat) ->
  affine k (Sum ws bs) (weight (plain ws)) (exact_sum bs).
Proof.
  intros H v r. cbn [ideal]. rewrite <- weight_sum by (unfold plain; rewrite map_map; exact H).
  unfold terms, plain.
  rewrite exact_sum_app. unfold exact_sum. rewrite !map_map. apply Rplus_comm.
Qed.

Section Rules.
Variables (net : network) (ann : annotation) (k : nat).

Let X := magnitude ann.

Lemma below L w D E : (forall j, (j < k)%nat -> Rabs (D j) <= E j) ->
  Rabs (over k (fun j => w j * D j) - read_through L D k) <=
  over k (fun j => Rabs (w j - L k j) * E j).
Proof.
  intros H. unfold read_through.
  replace (over k (fun j => w j * D j) - over k (fun j => L k j * D j))
    with (over k (fun j => (w j - L k j) * D j)).
  - apply Rle_trans with (1 := over_abs _ _). apply over_le. intros j Hj. rewrite Rabs_mult.
    apply Rmult_le_compat_l; [apply Rabs_pos|now apply H].
  - transitivity (over k (fun j => w j * D j) + - 1 * over k (fun j => L k j * D j)); [|ring].
    rewrite <- over_scale, <- over_plus. apply over_ext. intros; ring.
Qed.

(** Linear nodes, value: weights that the core leaves out, times magnitudes. *)
(* map: a sum follows its core within what the core leaves out *)
Theorem affine_value o w beta : affine k o w beta ->
  Rabs (beta - offset ann k) + over k (fun j => Rabs (w j - kept ann k j) * X j) <= rest ann k ->
  value_rule ann k o.
Proof.
  intros A H v r _ Hr. rewrite A.
  replace (beta + over k (fun j => w j * r j) - offset ann k - read_through (kept ann) r k) with
    ((beta - offset ann k) + (over k (fun j => w j * r j) - read_through (kept ann) r k)) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). apply Rle_trans with (2 := H).
  apply Rplus_le_compat_l. apply below. intros j Hj. now apply within_magnitude, Hr.
Qed.

(** Linear nodes, change: the same weights, times changes. *)
(* map: what a sum leaves of the changes of its inputs *)
Theorem affine_change o w beta : affine k o w beta ->
  (forall q, (q < pixels net)%nat ->
    over k (fun j => Rabs (w j - kept ann k j) * move ann q j) <= bend ann q k /\
    over k (fun j => Rabs (w j - core ann k j) * move ann q j) <= remainder ann q k) ->
  change_rule net ann k o.
Proof.
  intros A H q v v' r r' Hq _ _ _ Hr D. destruct (H q Hq) as [H1 H2].
  assert (E : ideal o v' r' - ideal o v r = over k (fun j => w j * D j)).
  { rewrite !A.
    transitivity (over k (fun j => w j * r' j) + - 1 * over k (fun j => w j * r j)); [ring|].
    rewrite <- over_scale, <- over_plus. apply over_ext. intros. unfold D. ring. }
  rewrite E. split; [apply Rle_trans with (2 := H1)|apply Rle_trans with (2 := H2)];
    apply below; intros j Hj; now apply Hr.
Qed.

(** ** Units with one slope *)

(** The core reads unit [j] alone, with slope [m]. *)
Definition slope (L : nat -> nat -> R) (j : nat) (m : R) : Prop :=
  (j < k)%nat /\ forall i, (i < k)%nat -> L k i = if (i =? j)%nat then m else 0.

Lemma slope_read L j m x : slope L j m -> read_through L x k = m * x j.
Proof.
  intros [Hj H]. unfold read_through. rewrite (over_one k j); [|exact Hj|].
  - now rewrite (H j Hj), Nat.eqb_refl.
  - intros i Hi N. rewrite (H i Hi). destruct (Nat.eqb_spec i j); [easy|ring].
Qed.

(** A boxed unit: the image of the operands' ranges. *)
Theorem boxed_value o : (forall j, (j < k)%nat -> kept ann k j = 0) ->
  (forall v r, image v -> (forall j, (j < k)%nat -> within ann j (r j)) ->
    Rabs (ideal o v r - offset ann k) <= rest ann k) -> value_rule ann k o.
Proof.
  intros Z H v r Hv Hr. unfold read_through. rewrite (over_cut k 0); [|lia|].
  - unfold over. simpl. rewrite Rminus_0_r. now apply H.
  - intros j Hj. rewrite Z by lia. ring.
Qed.

(** SiLU with slope 1/2: silu(z) - z/2 lies in [0, z^2 / 4]. *)
Theorem silu_value_half j : slope (kept ann) j (/ 2) ->
  offset ann k = (X j) ^ 2 / 8 -> (X j) ^ 2 / 8 <= rest ann k -> value_rule ann k (Silu j).
Proof.
  intros S Ho Hc v r _ Hr. cbn [ideal]. rewrite (slope_read _ _ _ _ S), Ho.
  assert (B := silu_near (r j)). assert (M := within_magnitude ann j (r j) (Hr j (proj1 S))).
  assert (Sq := square_le _ _ M). fold (X j) in Sq.
  unfold Rabs. destruct Rcase_abs; lra.
Qed.

(** The functions between the slopes [m - e] and [m + e], from 0. *)
Lemma from_zero (f df : R -> R) m e t Y : slope_of f df ->
  (forall s, Rmin 0 t <= s <= Rmax 0 t -> Rabs (df s - m) <= e) -> Rabs t <= Y ->
  Rabs (f t - f 0 - m * t) <= e * Y.
Proof.
  intros D H B. assert (K := change f df m e 0 t D H). rewrite !Rminus_0_r in K.
  apply Rle_trans with (1 := K). apply Rmult_le_compat_l; [|exact B].
  apply Rle_trans with (2 := H t ltac:(unfold Rmin, Rmax; destruct Rle_dec; lra)). apply Rabs_pos.
Qed.

(** [df] lies within [e] of [m] on the range of unit [j], or on its hull with 0. *)
Definition slopes_in (df : R -> R) (j : nat) (m e : R) : Prop :=
  forall t, within ann j t -> Rabs (df t - m) <= e.
Definition slopes_from_0 (df : R -> R) (j : nat) (m e : R) : Prop :=
  forall t s, within ann j t -> Rmin 0 t <= s <= Rmax 0 t -> Rabs (df s - m) <= e.

Lemma value_slope (f df : R -> R) (o : operation) j m e : slope_of f df ->
  (forall v r, ideal o v r = f (r j)) -> slope (kept ann) j m -> slopes_from_0 df j m e ->
  offset ann k = f 0 -> e * X j <= rest ann k -> value_rule ann k o.
Proof.
  intros D I S Hs Ho Hc v r _ Hr. rewrite I, (slope_read _ _ _ _ S), Ho.
  assert (W := Hr j (proj1 S)). apply Rle_trans with (2 := Hc).
  exact (from_zero f df m e (r j) (X j) D (fun s => Hs (r j) s W) (within_magnitude ann j _ W)).
Qed.

(* map: SiLU follows its slope within slope errors times magnitude *)
Theorem silu_value_slope j m e : slope (kept ann) j m -> slopes_from_0 silu' j m e ->
  offset ann k = 0 -> e * X j <= rest ann k -> value_rule ann k (Silu j).
Proof.
  intros S Hs Ho.
  apply (value_slope silu silu' (Silu j) j m e silu_derive (fun _ _ => eq_refl) S Hs).
  rewrite Ho. unfold silu. ring.
Qed.

Theorem sigmoid_value_slope j m e : slope (kept ann) j m -> slopes_from_0 sigmoid' j m e ->
  offset ann k = / 2 -> e * X j <= rest ann k -> value_rule ann k (Sigmoid j).
Proof.
  intros S Hs Ho.
  apply (value_slope sigmoid sigmoid' (Sigmoid j) j m e sigmoid_derive (fun _ _ => eq_refl) S Hs).
  now rewrite sigmoid_0.
Qed.

Lemma within_between j t t' s : within ann j t -> within ann j t' -> Rmin t t' <= s <= Rmax t t' ->
  within ann j s.
Proof.
  unfold within. intros H H' B.
  assert (C := between (centre ann j - radius (columns ann) (err ann) j)
    (centre ann j + radius (columns ann) (err ann) j) t t' s).
  assert (I : forall x, Rabs (x - centre ann j) <= radius (columns ann) (err ann) j ->
    centre ann j - radius (columns ann) (err ann) j <= x <= centre ann j +
    radius (columns ann) (err ann) j).
  { intros x Hx. unfold Rabs in Hx. destruct Rcase_abs in Hx; lra. }
  specialize (C (I _ H) (I _ H') B). unfold Rabs. destruct Rcase_abs; lra.
Qed.

(* map: what a curve leaves of the change of its input, by its slopes *)
Lemma curve_change (f df : R -> R) (o : operation) j : slope_of f df ->
  (forall v r, ideal o v r = f (r j)) ->
  (exists m e, slope (kept ann) j m /\ slopes_in df j m e /\
    forall q, (q < pixels net)%nat -> e * move ann q j <= bend ann q k) ->
  (exists m e, slope (core ann) j m /\ slopes_in df j m e /\
    forall q, (q < pixels net)%nat -> e * move ann q j <= remainder ann q k) ->
  change_rule net ann k o.
Proof.
  intros Df I H1 H2 q v v' r r' Hq _ _ _ Hr D. rewrite !I.
  assert (K : forall L m e, slope L j m -> slopes_in df j m e ->
    Rabs (f (r' j) - f (r j) - read_through L D k) <= e * move ann q j).
  { intros L m e S Hs. rewrite (slope_read _ _ _ _ S). destruct (Hr j (proj1 S)) as (W & W' & M).
    apply Rle_trans with (e * Rabs (r' j - r j)).
    - apply (change f df m e (r j) (r' j) Df). intros t Ht. apply Hs.
      now apply (within_between j (r j) (r' j)).
    - apply Rmult_le_compat_l; [|exact M]. apply Rle_trans with (2 := Hs _ W). apply Rabs_pos. }
  destruct H1 as (m & e & S & Hs & Hb). destruct H2 as (m2 & e2 & S2 & Hs2 & Hb2). split.
  - apply Rle_trans with (1 := K _ m e S Hs). now apply Hb.
  - apply Rle_trans with (1 := K _ m2 e2 S2 Hs2). now apply Hb2.
Qed.

Definition silu_change_rule j :=
  curve_change silu silu' (Silu j) j silu_derive (fun _ _ => eq_refl).
Definition sigmoid_change_rule j :=
  curve_change sigmoid sigmoid' (Sigmoid j) j sigmoid_derive (fun _ _ => eq_refl).

(** ** Gates: x s, with the core s0 x *)

Definition away (j : nat) (s0 e : R) : Prop := forall t, within ann j t -> Rabs (t - s0) <= e.

(* map: a gate follows its factor within what the factor may differ by *)
Theorem gate_value i j s0 e : (j < k)%nat -> slope (kept ann) i s0 -> away j s0 e ->
  offset ann k = 0 -> e * X i <= rest ann k -> value_rule ann k (Gate i j).
Proof.
  intros Hj S A Ho Hc v r _ Hr. cbn [ideal]. rewrite (slope_read _ _ _ _ S), Ho.
  replace (r i * r j - 0 - s0 * r i) with ((r j - s0) * r i) by ring. rewrite Rabs_mult.
  apply Rle_trans with (2 := Hc).
  apply Rmult_le_compat; [apply Rabs_pos|apply Rabs_pos|now apply A, Hr|].
  apply within_magnitude, Hr, S.
Qed.

(* map: what a gate leaves of the change of its inputs *)
Theorem gate_change i j : (j < k)%nat ->
  (exists s0 e, slope (kept ann) i s0 /\ away j s0 e /\
    forall q, (q < pixels net)%nat -> e * move ann q i + X i * move ann q j <= bend ann q k) ->
  (exists s0 e, slope (core ann) i s0 /\ away j s0 e /\
    forall q, (q < pixels net)%nat -> e * move ann q i + X i * move ann q j <= remainder ann q k) ->
  change_rule net ann k (Gate i j).
Proof.
  intros Hj H1 H2 q v v' r r' Hq _ _ _ Hr D. cbn [ideal].
  assert (K : forall L s0 e, slope L i s0 -> away j s0 e ->
    Rabs (r' i * r' j - r i * r j - read_through L D k) <= e * move ann q i + X i * move ann q j).
  { intros L s0 e S A. rewrite (slope_read _ _ _ _ S). destruct (Hr i (proj1 S)) as (Wi & Wi' & Mi).
    destruct (Hr j Hj) as (Wj & Wj' & Mj). unfold D.
    replace (r' i * r' j - r i * r j - s0 * (r' i - r i))
      with ((r j - s0) * (r' i - r i) + r' i * (r' j - r j)) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _). rewrite !Rabs_mult.
    apply Rplus_le_compat; apply Rmult_le_compat; try apply Rabs_pos; try assumption.
    - now apply A.
    - now apply within_magnitude. }
  destruct H1 as (m & e & S & Hs & Hb). destruct H2 as (m2 & e2 & S2 & Hs2 & Hb2). split.
  - apply Rle_trans with (1 := K _ m e S Hs). now apply Hb.
  - apply Rle_trans with (1 := K _ m2 e2 S2 Hs2). now apply Hb2.
Qed.

(** ** Pixels *)

Theorem pixel_value p : (forall j, (j < k)%nat -> kept ann k j = 0) ->
  offset ann k = 255 / 2 -> 255 / 2 <= rest ann k -> value_rule ann k (Pixel p).
Proof.
  intros Z Ho Hc. apply boxed_value; [exact Z|]. intros v r Hv _. cbn [ideal]. rewrite Ho.
  destruct (Hv p) as [L H]. apply IZR_le in L, H. unfold Rabs. destruct Rcase_abs; lra.
Qed.

Theorem pixel_change p :
  (forall j, (j < k)%nat -> kept ann k j = 0 /\ core ann k j = 0) ->
  (forall q, (q < pixels net)%nat -> let c := if (p =? q)%nat then 1 else 0 in
    c <= bend ann q k /\ c <= remainder ann q k) ->
  change_rule net ann k (Pixel p).
Proof.
  intros Z H q v v' r r' Hq Hv _ [E N] _ D. cbn [ideal]. destruct (H q Hq) as [H1 H2].
  assert (C : Rabs (IZR (v' p) - IZR (v p)) <= if (p =? q)%nat then 1 else 0).
  { destruct (Nat.eqb_spec p q) as [->|M].
    - rewrite E. right. apply last_bit_step.
    - rewrite N by exact M. rewrite Rminus_diag_eq, Rabs_R0; [lra|reflexivity]. }
  assert (R0 : read_through (kept ann) D k = 0 /\ read_through (core ann) D k = 0).
  { split; (unfold read_through; rewrite (over_cut k 0); [reflexivity|lia|]; intros j Hj);
      destruct (Z j ltac:(lia)) as [Z1 Z2]; rewrite ?Z1, ?Z2; ring. }
  destruct R0 as [-> ->]. rewrite !Rminus_0_r. split; lra.
Qed.
End Rules.
