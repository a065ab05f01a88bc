(** * The rounding of every unit

    - [ideal o v r]: what unit [o] would compute without rounding from the operands' computed
      values;
    - [noise X F o rho]: bounds on the rounding of [o] if operands are at most [X] and [ideal] is at
      most [F], one line for each operation;
    - [unit_rounding]: then every execution of [o] is finite and within [rho] of [ideal].

    Rests on Sums.v and Layers.v. Stands behind the noise of sums.py, curves.py and products.py. *)

From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms binary32.Folds
  binary32.Additions.
From Lastbit Require Import binary32.Sums binary32.Layers.
Import ListNotations.
Open Scope R_scope.

Definition ideal (o : operation) (v : nat -> Z) (r : nat -> R) : R :=
  match o with
  | Pixel p => IZR (v p)
  | Sum ws bs => exact_sum (terms ws bs r)
  | Sigmoid j => sigmoid (r j)
  | Silu j => silu (r j)
  | Gate i j => r i * r j
  end.

(** ** Sums *)

(** [E] bounds the rounding of terms of magnitudes [bs] whose sum is at most [F]: [P] are the
    magnitudes as often as they cost, [K] at most; [L] is the largest number of factors, [N] the
    number of terms, those that are 0 among them, and [S] what they come to at most. *)
Definition sum_noise (bs : list R) (F P : R) (K L N : nat) (S E : R) : Prop :=
  exists m h c f, Permutation (filter nonzero bs) m /\ descending m /\
  (pred (length m) + K <= h)%nat /\ INR h * u <= / 2 /\ Rmin F (total m) <= f /\
    total m + f <= 2 * c /\
  u * roundings c f m P / (1 - INR h * u) + underflow L S <= E /\
  4 * S <= largest /\ INR (N + K + L) <= 2 ^ 20.

Lemma sum_rounding l v bs F P K L S E : sum l v -> Forall (limited K L) l ->
  Forall2 (fun t b => magnitude t <= b) l bs ->
  Rabs (exact_sum l) <= F -> total (map charged l) <= P -> spread l <= S ->
    sum_noise bs F P K L (length l) S E ->
  exists p, v = Finite p /\ Rabs (p - exact_sum l) <= E.
Proof.
  intros Hv Hl Hb HF HP HS (m & h & c & f & Hm & Hd & Hn & Hh & Hf & Hc & HE & Hr & Hs).
  assert (R : in_range K L l) by (split; [exact Hl|split; [lra|exact Hs]]).
  destruct (layer_rounding l v bs m h K L P F c f S Hv R Hb Hm Hd Hn Hh HP) as (p & ->
    & Hp); try assumption.
  { apply Rle_trans with (2 := HS), spread_kept. }
  exists p. split; [reflexivity|]. lra.
Qed.

(** ** All operations *)

Definition near (X : R) : Prop := X <= / 2 ^ 6.
Definition at_zero (X : R) : Prop := X <= / 2 ^ 27.

(** Of terms whose units are at most [X]: magnitudes; these as often as they cost; what they come
    to. *)
Definition magnitudes (X : nat -> R) (ws : list (list factor * nat)) (bs : list term) : list R :=
  map (fun w => Rabs (constant (fst w)) * X (snd w)) ws ++ map magnitude bs.
Definition charges (X : nat -> R) (ws : list (list factor * nat)) (bs : list term) : R :=
  total (map (fun w => INR (cost (fst w)) * (Rabs (constant (fst w)) * X (snd w))) ws) +
    total (map charged bs).
Definition spreads (X : nat -> R) (ws : list (list factor * nat)) (bs : list term) : R :=
  total (map (fun w => room (fst w) * (X (snd w) + 1)) ws) + spread bs.

Definition noise (X : nat -> R) (F : R) (o : operation) (rho : R) : Prop :=
  match o with
  | Pixel _ => 0 <= rho
  | Sum ws bs => exists ms K L P S,
      Forall (fun w => limited K L (fst w, 0)) ws /\ Forall (limited K L) bs /\
        Forall2 Rle (magnitudes X ws bs) ms /\
      charges X ws bs <= P /\ spreads X ws bs <= S /\
        sum_noise ms F P K L (length ws + length bs) S rho
  | Sigmoid j => 4 * u <= rho \/ near (X j) /\ 2 * u <= rho \/ at_zero (X j) /\ u / 16 <= rho
  | Silu j => 6 * u * X j + eta <= rho \/ near (X j) /\ 3 * u * X j + eta <= rho \/
              at_zero (X j) /\ u / 16 * X j + eta <= rho
  | Gate i j => X i * X j <= largest /\ u * (X i * X j) + eta * (X i + X j + 1) <= rho
  end.

Lemma terms_bounded X ws bs r K L ms : (forall j, In j (map snd ws) -> Rabs (r j) <= X j) ->
  Forall (fun w => limited K L (fst w, 0)) ws -> Forall (limited K L) bs ->
    Forall2 Rle (magnitudes X ws bs) ms ->
  let l := terms ws bs r in
  Forall (limited K L) l /\ Forall2 (fun t b => magnitude t <= b) l ms /\
  total (map charged l) <= charges X ws bs /\ spread l <= spreads X ws bs /\
    length l = (length ws + length bs)%nat.
Proof.
  intros H Fw Fb. unfold terms, magnitudes, charges, spreads. cbv zeta. revert ms.
  induction ws as [|[fs j] ws IH]; cbn [map app]; intros ms M.
  - rewrite !Rplus_0_l. repeat split; try apply Rle_refl; [exact Fb|].
    revert ms M. clear. induction bs as [|b bs IH]; intros ms M; inversion_clear M; constructor;
      auto.
  - inversion_clear Fw as [|? ? F1 F2]. inversion M as [|? m ? ms' M1 M2]. subst ms.
    destruct (IH (fun j Hj => H j (or_intror Hj)) F2 ms' M2) as (I1 & I2 & I3 & I4 & I5).
    cbn [fst snd map] in *.
    assert (Hr := H j (or_introl eq_refl)).
    assert (E : magnitude (fs, r j) <= Rabs (constant fs) * X j).
    { unfold magnitude, exact. cbn [fst snd]. rewrite Rabs_mult. apply Rmult_le_compat_l;
        [apply Rabs_pos|exact Hr]. }
    split; [constructor; [exact F1|exact I1]|]. split; [constructor; [lra|exact I2]|].
    rewrite !total_cons. split; [|split].
    + assert (charged (fs, r j) <= INR (cost fs) * (Rabs (constant fs) * X j)) by (apply
        Rmult_le_compat_l; [apply pos_INR|exact E]).
      lra.
    + unfold spread in *. cbn [map]. rewrite total_cons.
      assert (spread_of (fs, r j) <= room fs * (X j + 1)); [|lra].
      apply Rmult_le_compat_l; [generalize (room_1 fs); cbn [fst]; lra|]. cbn [snd]. lra.
    + cbn [length]. now rewrite I5.
Qed.

(* map: one execution of a unit rounds by no more than the number charged for its kind *)
Theorem unit_rounding o v x r X F rho y :
  (forall j, In j (operands o) -> x j = Finite (r j) /\ Rabs (r j) <= X j) ->
  Rabs (ideal o v r) <= F -> noise X F o rho -> performs o v x y ->
  exists p, y = Finite p /\ Rabs (p - ideal o v r) <= rho.
Proof.
  assert (Hu := u_pos). assert (He := eta_pos).
  destruct o as [q|ws bs|j|j|i j]; cbn [operands noise performs ideal]; intros Hx HF Hn Hy.
  - exists (IZR (v q)). split; [exact Hy|]. now rewrite Rminus_diag_eq, Rabs_R0.
  - destruct Hn as (ms & K & L & P & S & N1 & N2 & N3 & N4 & N5 & N6).
    destruct (terms_bounded X ws bs r K L ms (fun j Hj =>
      proj2 (Hx j Hj)) N1 N2 N3) as (T1 & T2 & T3 & T4 & T5).
    apply (sum_rounding _ y ms F P K L S rho (Hy r (fun j Hj =>
      proj1 (Hx j Hj))) T1 T2 HF); [lra|lra|].
    now rewrite T5.
  - destruct (Hx j (or_introl eq_refl)) as [E B].
    destruct (Hy (r j) E) as (p & -> & Hf & Hnear & Hzero). exists p. split; [reflexivity|].
    destruct Hn as [Hn|[[Nn Hn]|[Nn Hn]]]; [lra| |].
    + unfold near in Nn. specialize (Hnear ltac:(lra)). lra.
    + unfold at_zero in Nn. specialize (Hzero ltac:(lra)). lra.
  - destruct (Hx j (or_introl eq_refl)) as [E B].
    destruct (Hy (r j) E) as (p & -> & Hf & Hnear & Hzero). exists p. split; [reflexivity|].
    assert (u * Rabs (r j) <= u * X j) by (apply Rmult_le_compat_l; lra).
    destruct Hn as [Hn|[[Nn Hn]|[Nn Hn]]]; [lra| |].
    + unfold near in Nn. specialize (Hnear ltac:(lra)). lra.
    + unfold at_zero in Nn. specialize (Hzero ltac:(lra)). lra.
  - destruct Hn as [Hl Hn]. destruct (Hx i ltac:(simpl; auto)) as [Ei Bi].
    destruct (Hx j ltac:(simpl; auto)) as [Ej Bj].
    destruct (Hy (r i) (r j) Ei Ej) as (a & b & Ra & Rb & Hv).
    destruct (reads_product _ _ _ _ Ra Rb) as [D A].
    assert (P : Rabs (r i * r j) <= X i * X j)
      by (rewrite Rabs_mult; apply Rmult_le_compat; try apply Rabs_pos; assumption).
    destruct (rounds_error _ _ Hv) as (p & -> & Hp); [lra|]. exists p. split; [reflexivity|].
    replace (p - r i * r j) with ((p - a * b) + (a * b - r i * r j)) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _).
    assert (u * Rabs (a * b) <= u * (X i * X j)) by (apply Rmult_le_compat_l; lra).
    assert (eta * (Rabs (r i) + Rabs (r j)) <= eta * (X i + X j)) by (apply Rmult_le_compat_l; lra).
    lra.
Qed.
