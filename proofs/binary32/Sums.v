(** * The error of a sum, however it is evaluated

    - [sum_error]: any evaluation that Statement.v calls [sum] of terms [l] that are in range is
      finite and within [error K L c f l] (and one flush to zero) of the exact sum, if that is at
      most [f] and no partial sum is larger than [c]. So no partial result overflows either: the
      theorem holds for every tree, and for all constants that are multiplied beforehand.

    Rests on Additions.v, Scalings.v and Folded.v. Stands behind [Layer.rounding] and [finite] of
    lastbit_check; what the checker computes from it is in Layers.v. *)

From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms binary32.Folds
  binary32.Folded.
From Lastbit Require Import binary32.Additions binary32.Scalings.
Import ListNotations.
Open Scope R_scope.

(** What is to be shown of an evaluation. *)
Definition evaluated (l : list term) (v : value) : Prop := forall K L c f,
  in_range K L l -> bounded c l -> Rabs (exact_sum l) <= f <= size l ->
  exists a p, v = Finite p /\ reads a p /\ Rabs (a - exact_sum l) <= error K L c f l.

(** ** Terms that are 0 *)

Lemma size_none l : kept l = [] -> size l = 0.
Proof. intros H. now rewrite <- total_live, live_kept, H. Qed.

Lemma charged_none l : kept l = [] -> total (map charged l) = 0.
Proof.
  unfold kept. induction l as [|t l IH]; [reflexivity|]. cbn [filter map].
  destruct (nonzero (magnitude t)) eqn:E; [discriminate|].
  intros H. rewrite total_cons, IH by exact H. apply nonzero_0 in E. unfold charged. rewrite E.
  ring.
Qed.

Lemma none_left K L c f l1 l2 : kept l1 = [] ->
  error K L c f (l1 ++ l2) = error K L c f l2 /\ exact_sum (l1 ++ l2) = exact_sum l2 /\
    size (l1 ++ l2) = size l2.
Proof.
  intros H. rewrite exact_sum_app, size_app, (size_none _ H), (proj1 (kept_none l1 H)).
  split; [|lra].
  unfold error, first_order. rewrite live_app, kept_app, (live_kept l1), H, map_app, total_app,
    (charged_none _ H).
  cbn [map app]. now rewrite Rplus_0_l.
Qed.

Lemma none_right K L c f l1 l2 : kept l2 = [] ->
  error K L c f (l1 ++ l2) = error K L c f l1 /\ exact_sum (l1 ++ l2) = exact_sum l1 /\
    size (l1 ++ l2) = size l1.
Proof.
  intros H. rewrite (error_perm K L c f _ _ (Permutation_app_comm l1 l2)).
  destruct (sums_perm _ _ (Permutation_app_comm l1 l2)) as [-> ->]. now apply none_left.
Qed.

(** A finite result of terms that are 0 is 0. *)
Lemma none_zero K L c f l v : kept l = [] -> in_range K L l -> bounded c l ->
  Rabs (exact_sum l) <= f <= size l ->
  evaluated l v -> v = Finite 0.
Proof.
  intros N R B F H. destruct (H K L c f R B F) as (a & p & -> & Ra & Ea).
  destruct (kept_none l N) as [X Z].
  rewrite X, Z, Rminus_0_r in Ea. assert (a = 0) as ->.
  { destruct (Req_dec a 0) as [E|E]; [exact E|]. apply Rabs_pos_lt in E. lra. }
  now rewrite (reads_0 _ Ra).
Qed.

Lemma finite_spread K L c f l a p : 0 <= c -> in_range K L l -> Rabs (exact_sum l) <= f <= size l ->
  Rabs (a - exact_sum l) <= error K L c f l -> reads a p -> Rabs p <= 2 * spread l.
Proof.
  intros Hc R F Ha Rp. apply Rle_trans with (1 := reads_abs _ _ Rp).
  assert (E := error_small K L c Hc f l (conj (Rle_trans _ _ _ (Rabs_pos _) (proj1 F)) (proj2 F))
    R).
  replace a with ((a - exact_sum l) + exact_sum l) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _).
  generalize (exact_sum_size l) (size_spread l) (spread_kept l). lra.
Qed.

(** ** One product *)

(** The product of a constant with a partial sum: 0, and so are the terms, or within their error. *)
Lemma scaled_part fs l a K L c f r : l <> [] -> fs <> [] -> evaluated l a ->
  let l' := map (with_factors fs) l in
  in_range K L l' -> bounded c l' -> Rabs (exact_sum l') <= f <= size l' ->
    near (pred (cost fs)) (constant fs) r ->
  exists a0 p0, a = Finite p0 /\ reads a0 p0 /\ forall y,
    Rabs (y - r * a0) <= eta * (Rabs r + Rabs a0) /\ Rabs y <= Rabs (r * a0) ->
    (y = 0 /\ kept l' = []) \/
    (kept l' <> [] /\ Rabs y <= largest /\ forall v,
      Rabs (v - y) <= (if (cost fs =? 0)%nat then 0 else u * Rabs y) + eta ->
        Rabs (v - exact_sum l') <= error K L c f l').
Proof.
  intros Hl Hfs H l' R B F N. assert (Z := exact_sum_size l).
  assert (zero : forall y, Rabs y <= Rabs 0 -> y = 0).
  { intros y E. rewrite Rabs_R0 in E. destruct (Req_dec y 0) as [Q|Q];
      [exact Q|]. apply Rabs_pos_lt in Q. lra. }
  assert (R' := in_range_scaled fs l K L Hl R).
  destruct (Req_dec (constant fs) 0) as [C0|Cn].
  - destruct (H _ _ (size l) (size l) R') as (a0 & p0 & E & Ra & _).
    { apply (bounded_parts _ (size l)); lra. }
    { lra. }
    exists a0, p0. split; [exact E|]. split; [exact Ra|]. intros y [_ Y]. left.
    assert (r = 0) as ->.
    { apply zero. rewrite C0 in N. assert (Q := near_abs _ _ _ N). rewrite Rabs_R0 in *. lra. }
    rewrite Rmult_0_l in Y. split; [now apply zero|]. unfold l', kept. clear -C0.
    induction l as [|t l IH]; [reflexivity|]. cbn [map filter].
    rewrite magnitude_scaled, C0, Rabs_R0, Rmult_0_l.
    now rewrite (proj2 (nonzero_0 0) eq_refl).
  - assert (B' := bounded_scaled fs l Cn c B). assert (F' := whole_scaled fs l Cn f F).
    destruct (H _ _ _ _ R' B' F') as (a0 & p0 & E & Ra & Ea).
    exists a0, p0. split; [exact E|]. split; [exact Ra|]. intros y Y.
    assert (K' : kept l' = map (with_factors fs) (kept l)) by now apply kept_scaled.
    destruct (kept l) as [|t k] eqn:Ek.
    + left. split; [|exact K']. destruct (kept_none l Ek) as [X0 E0].
      rewrite X0, E0, Rminus_0_r in Ea.
      assert (a0 = 0) as -> by (apply zero; rewrite Rabs_R0; exact Ea). apply zero.
      rewrite <- (Rmult_0_r r). apply Y.
    + right. assert (Ks : kept l <> []) by (rewrite Ek; discriminate).
      assert (Hc := bounded_pos _ _ B).
      split; [rewrite K'; discriminate|].
      split; [exact (proj2 (proj2 (scaled_sizes fs l Cn K L c f Hl R Hc F Ks a0 r y Ea N Y)))|].
      intros v Hv. exact (error_scaled fs l Cn K L c f Hl R Hc F Ks Hfs a0 r y Ea N Y v Hv).
Qed.

(** The factors of a partial sum are tame. *)
Lemma factors_tame fs l K L : l <> [] -> in_range K L (map (with_factors fs) l) ->
  exists gs, tame (fs ++ gs).
Proof.
  destruct l as [|t l]; [easy|]. intros _ (F & _). inversion_clear F as [|? ? (T & _) _].
  now exists (fst t).
Qed.

(** Constants that were folded. *)
Lemma folds_constant fs c l K L : folds fs c -> l <> [] -> in_range K L (map (with_factors fs) l) ->
  exists r, c = Finite r /\ near (pred (cost fs)) (constant fs) r /\
    (cost fs = 0%nat -> power_of_two r).
Proof.
  intros H Hl R. destruct (factors_tame fs l K L Hl R) as [gs T].
  destruct (folds_near fs c H (proj1 (tame_app _ _ T))) as [F1 F2].
  destruct (zero_in fs) as [I|I].
  - exists 0. split; [now apply F1|]. rewrite (constant_zero fs I). split.
    + apply near_more with (2 := near_itself 0). lia.
    + intros Z. elim power_0. now apply scales_power, (cost_in 0 fs).
  - destruct (F2 I) as (r & E & N & P). exists r. split; [exact E|]. split; [exact N|]. intros Z.
    now apply P.
Qed.

(** ** The theorem *)

(** What a product leaves, whether it is rounded or, where factors cost nothing, only shifted. *)
Lemma rounded_or_shifted n y v (near : R -> Prop) : Rabs y <= largest -> rounds y v ->
  (n = 0%nat -> shifts y v) ->
  (forall w, Rabs (w - y) <= (if (n =? 0)%nat then 0 else u * Rabs y) + eta -> near w) ->
  exists a p, v = Finite p /\ reads a p /\ near a.
Proof.
  intros Yl Rn Sh E. destruct (Nat.eq_dec n 0) as [Z|Z].
  - destruct (shifts_error _ _ (Sh Z) Yl) as (w & -> & Ew). exists w, w. split; [reflexivity|].
    split; [apply reads_refl|]. apply E. rewrite Z. cbn. lra.
  - destruct (rounds_error _ _ Rn Yl) as (w & -> & Ew). exists w, w. split; [reflexivity|].
    split; [apply reads_refl|]. apply E. now destruct (Nat.eqb_spec n 0).
Qed.

(* map: any tree, order, fused or not, factors folded or not: finite, and within the error *)
Theorem sum_error l v : sum l v -> evaluated l v.
Proof.
  induction 1 as [x v C|fs l c a v Hl Fc _ IH M|cs l d a v Hl Fd _ IH M|l1 l2 a b v _ IH1 _ IH2 Ad
    |fs l1 l2 c a b v Hl Fc _ IH1 _ IH2 Fu|z Z|l l' l'' v P A _ IH]; intros K L cap f R B F;
    assert (Hc := bounded_pos _ _ B); assert (F0 : 0 <= f) by (apply Rle_trans with (2 := proj1 F),
      Rabs_pos).
  - destruct (C x eq_refl) as (p & Hp & ->). exists x, p. split; [reflexivity|]. split; [exact Hp|].
    unfold exact_sum, exact, constant. cbn. replace (x - (1 * x + 0)) with 0 by ring.
    rewrite Rabs_R0. now apply error_pos.
  - destruct (folds_constant fs c l K L Fc Hl R) as (r & -> & N & P).
    destruct (scaled_part fs l a K L cap f r Hl (folds_some _ _ Fc) IH R B F N) as (a0 & p0 & ->
      & Ra & S).
    destruct (M r p0 eq_refl eq_refl) as (p' & q' & Rp & Rq & Rn & Sh).
    destruct (S (p' * q') (reads_product _ _ _ _ Rp (reads_trans _ _ _ Ra Rq))) as [[Y0 K0]
      |(_ & Yl & E)].
    + rewrite Y0 in Rn. rewrite (rounds_0 _ Rn). exists 0, 0. split; [reflexivity|].
      split; [apply reads_refl|].
      destruct (kept_none _ K0) as [-> ->]. rewrite Rminus_0_r, Rabs_R0. lra.
    + apply (rounded_or_shifted (cost fs) _ _ _ Yl Rn (fun Z => Sh (P Z)) E).
  - destruct (factors_tame _ _ _ _ Hl R) as [gs T].
    destruct (folds_over cs d gs Fd T) as (y & -> & Ly & N & P).
    assert (Nc : map Over cs <> []) by (destruct cs; [now apply folds_some in Fd|discriminate]).
    destruct (scaled_part (map Over cs) l a K L cap f (/ y) Hl Nc IH R B F N) as (a0 & p0 & ->
      & Ra & S).
    destruct (M y p0 eq_refl eq_refl Ly) as (q' & Rq & Rn & Sh).
    assert (Ra' := reads_trans _ _ _ Ra Rq).
    assert (Q : q' / y = / y * q') by (unfold Rdiv; ring). rewrite Q in *.
    destruct (S (/ y * q') (reads_product _ _ _ _ (reads_refl _) Ra')) as [[Y0 K0]|(_ & Yl & E)].
    + rewrite Y0 in Rn. rewrite (rounds_0 _ Rn). exists 0, 0. split; [reflexivity|].
      split; [apply reads_refl|].
      destruct (kept_none _ K0) as [-> ->]. rewrite Rminus_0_r, Rabs_R0. lra.
    + apply (rounded_or_shifted (cost (map Over cs)) _ _ _ Yl Rn (fun Z => Sh (proj2 (P Z))) E).
  - destruct (in_range_app _ _ _ _ R) as [R1 R2]. destruct (bounded_app _ _ _ B) as [B1 B2].
    assert (F1 := conj (part_sum cap l1 B1) (proj2 (part_range cap l1 Hc))).
    assert (F2 := conj (part_sum cap l2 B2) (proj2 (part_range cap l2 Hc))).
    destruct (IH1 K L cap _ R1 B1 F1) as (a0 & pa & Ea & Ra & Da).
    destruct (IH2 K L cap _ R2 B2 F2) as (b0 & pb & Eb & Rb & Db).
    destruct (Ad pa pb Ea Eb) as (p' & q' & Rp & Rq & Rn & Z1 & Z2).
    destruct (kept l1) as [|t1 k1] eqn:N1; [|destruct (kept l2) as [|t2 k2] eqn:N2].
    + destruct (none_left K L cap f l1 l2 N1) as (-> & X & S). rewrite X, S in F. rewrite X.
      rewrite (none_zero _ _ _ _ _ _ N1 R1 B1 F1 IH1) in Ea. injection Ea as <-.
      destruct (IH2 K L cap f R2 B2 F) as (b1 & p1 & E1 & Rb1 & D1). rewrite Eb in E1.
      injection E1 as <-.
      exists b1, q'. split; [apply Z1; now apply reads_0|].
      split; [now apply reads_trans with pb|exact D1].
    + destruct (none_right K L cap f l1 l2 N2) as (-> & X & S). rewrite X, S in F. rewrite X.
      rewrite (none_zero _ _ _ _ _ _ N2 R2 B2 F2 IH2) in Eb. injection Eb as <-.
      destruct (IH1 K L cap f R1 B1 F) as (a1 & p1 & E1 & Ra1 & D1). rewrite Ea in E1.
      injection E1 as <-.
      exists a1, p'. split; [apply Z2; now apply reads_0|].
      split; [now apply reads_trans with pa|exact D1].
    + assert (Ra' := reads_trans _ _ _ Ra Rp). assert (Rb' := reads_trans _ _ _ Rb Rq).
      assert (A1 := finite_spread _ _ _ _ _ _ _ Hc R1 F1 Da Ra').
      assert (A2 := finite_spread _ _ _ _ _ _ _ Hc R2 F2 Db Rb').
      destruct (rounds_error _ _ Rn) as (w & -> & Ew).
      { apply Rle_trans with (1 := Rabs_triang _ _). destruct R as (_ & R & _). rewrite spread_app
          in R.
        generalize (spread_pos l1) (spread_pos l2). lra. }
      exists w, w. split; [reflexivity|]. split; [apply reads_refl|]. rewrite exact_sum_app in *.
      apply Rle_trans with (2 := error_join K L cap f l1 l2 Hc F0 ltac:(now rewrite N1) ltac:(now
        rewrite N2)).
      exact (one_addition a0 b0 _ _ _ _ _ _ f p' q' w Da (exact_sum_size l1) Db (exact_sum_size l2)
        (proj1 F) Ra' Rb' Ew).
  - destruct (in_range_app _ _ _ _ R) as [R1 R2]. destruct (bounded_app _ _ _ B) as [B1 B2].
    destruct (folds_constant fs c l1 K L Fc Hl R1) as (r & -> & N & P).
    set (l1' := map (with_factors fs) l1) in *.
    assert (F1 := conj (part_sum cap l1' B1) (proj2 (part_range cap l1' Hc))).
    assert (F2 := conj (part_sum cap l2 B2) (proj2 (part_range cap l2 Hc))).
    assert (Sc := fun f F => scaled_part fs l1 a K L cap f r Hl (folds_some _ _ Fc) IH1 R1 B1 F N).
    destruct (Sc _ F1) as (a0 & pa & Ea & Ra & S).
    destruct (IH2 K L cap _ R2 B2 F2) as (b0 & pb & Eb & Rb & Db).
    destruct (Fu r pa pb eq_refl Ea Eb) as (p' & q' & s' & Rp & Rq & Rs & Rn & Z1 & Z2).
    destruct (S (p' * q') (reads_product _ _ _ _ Rp (reads_trans _ _ _ Ra Rq))) as [[Y0 N1]
      |(N1 & Yl & E)];
      [|destruct (kept l2) as [|t2 k2] eqn:N2].
    + destruct (none_left K L cap f l1' l2 N1) as (-> & X & Q). rewrite X, Q in F. rewrite X.
      destruct (IH2 K L cap f R2 B2 F) as (b1 & p1 & E1 & Rb1 & D1). rewrite Eb in E1.
      injection E1 as <-.
      exists b1, s'. split; [now apply Z1|]. split; [now apply reads_trans with pb|exact D1].
    + destruct (none_right K L cap f l1' l2 N2) as (-> & X & Q). rewrite X, Q in F. rewrite X.
      rewrite (none_zero _ _ _ _ _ _ N2 R2 B2 F2 IH2) in Eb. injection Eb as <-.
      apply reads_0 in Rs. subst s'.
      rewrite Rplus_0_r in Rn. destruct (Sc f F) as (a1 & p1 & E1 & Ra1 & S1). rewrite Ea in E1.
      injection E1 as <-.
      destruct (S1 (p' * q') (reads_product _ _ _ _ Rp (reads_trans _ _ _ Ra1 Rq))) as [[_ N3]
        |(_ & _ & E1)]; [easy|].
      apply (rounded_or_shifted (cost fs) _ _ _ Yl Rn (fun Z => Z2 eq_refl (P Z)) E1).
    + assert (Rb' := reads_trans _ _ _ Rb Rs). assert (He := eta_pos).
      assert (Dy : Rabs (p' * q' - exact_sum l1') <= error K L cap (part cap l1') l1').
      { apply E. rewrite Rminus_diag_eq, Rabs_R0 by reflexivity. destruct (_ =? _)%nat; [lra|].
        assert (0 <= u * Rabs (p' * q')) by (apply Rmult_le_pos;
          [apply Rlt_le, u_pos|apply Rabs_pos]). lra. }
      assert (A1 := finite_spread _ _ _ _ _ _ _ Hc R1 F1 Dy (reads_refl _)).
      assert (A2 := finite_spread _ _ _ _ _ _ _ Hc R2 F2 Db Rb').
      destruct (rounds_error _ _ Rn) as (w & -> & Ew).
      { apply Rle_trans with (1 := Rabs_triang _ _). destruct R as (_ & R & _). rewrite spread_app
          in R.
        generalize (spread_pos l1') (spread_pos l2). lra. }
      exists w, w. split; [reflexivity|]. split; [apply reads_refl|]. rewrite exact_sum_app in *.
      apply Rle_trans with (2 := error_join K L cap f l1' l2 Hc F0 N1 ltac:(now rewrite N2)).
      exact (one_addition (p' * q') b0 _ _ _ _ _ _ f _ s' w Dy (exact_sum_size l1') Db
        (exact_sum_size l2) (proj1 F) (reads_refl _) Rb' Ew).
  - exists 0, 0. split; [reflexivity|]. split; [apply reads_refl|].
    destruct (kept_none _ (vanish_kept z Z)) as [-> ->].
    rewrite Rminus_0_r, Rabs_R0. lra.
  - assert (A' := alike_sym _ _ A). destruct (alike_sums _ _ A) as (X & S & _).
    destruct (sums_perm _ _ P) as (X' & S').
    destruct (IH K L cap f) as (a & p & E & Ra & D).
    + apply (in_range_perm _ _ l'); [now apply Permutation_sym|].
      now apply (in_range_alike _ _ l'').
    + apply (bounded_perm _ l'); [now apply Permutation_sym|]. now apply (bounded_alike _ l'').
    + rewrite X', S', X, S. exact F.
    + exists a, p. split; [exact E|]. split; [exact Ra|]. rewrite <- X, <- X'.
      rewrite <- (error_alike K L cap f l' l'' A), <- (error_perm K L cap f l l' P). exact D.
Qed.
